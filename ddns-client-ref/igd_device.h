// The gateway on the home's network: SSDP, description, SOAP and events, by GUPnP. GUPnP runs on GLib's loop, so it has
// a thread of its own that owns every GLib object; calls leave it and answers enter it as messages. What an action
// means is IgdInterworking's.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "dataplane/net/result.h"
#include "ddns-client-ref/igd_actions.h"

namespace portolan::ddns {

struct IgdDeviceSettings {
  net::Ipv4 address;  // of this machine in the home's network; the only one that is answered on
  uint16_t port = 0;  // of HTTP; 0: any
  unsigned version = 2;
  std::string unique_id;  // a UUID, the same in each run
};

// What subscribers to events are told.
struct IgdState {
  bool connected = false;
  std::string external_address;
  size_t mappings = 0;
  uint32_t updates = 0;  // of the table of mappings, since the start
  friend bool operator==(const IgdState&, const IgdState&) = default;
};

class IgdDevice {
 public:
  static constexpr size_t calls_max = 64;  // unanswered at a time; more are refused

  using Called = std::function<void(IgdCall)>;  // in the device's thread
  static net::Result<std::unique_ptr<IgdDevice>, std::string> make(const IgdDeviceSettings& settings, Called called);
  ~IgdDevice();  // says goodbye to the network

  // From any thread.
  void answer(IgdAnswer answer);
  void publish(IgdState state);

 private:
  struct Glib;
  explicit IgdDevice(std::unique_ptr<Glib> glib);
  std::unique_ptr<Glib> glib_;
};

// A UUID that stays with this machine and tells nobody its machine-id.
std::string igd_unique_id();

}  // namespace portolan::ddns
