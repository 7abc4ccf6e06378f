// The running client: joins PCP client, detector and updater to sockets, timers, signals and the state file. One
// thread; all state is a member here or of the parts, and changes only in handlers of the io_context.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ddns-client-ref/change_detector.h"
#include "ddns-client-ref/config.h"
#include "ddns-client-ref/igd_device.h"
#include "ddns-client-ref/igd_interworking.h"
#include "ddns-client-ref/link_monitor.h"
#include "ddns-client-ref/pcp_client.h"
#include "ddns-client-ref/pcp_proxy.h"
#include "ddns-client-ref/pcp_socket.h"
#include "ddns-client-ref/proxy_socket.h"
#include "ddns-client-ref/state_file.h"
#include "ddns-client-ref/status_socket.h"
#include "ddns-client-ref/update_method.h"
#include "ddns-client-ref/updater.h"

namespace portolan::ddns {

enum class Mode : uint8_t { daemon, once };

class Agent {
 public:
  // `file` is where the configuration came from: SIGHUP has it read again.
  static net::Result<std::unique_ptr<Agent>, std::string> make(const Config& config, const std::string& file,
                                                               Mode mode);
  // Until a signal, or in mode once until every service is registered or has failed. True: all went well.
  bool run();
  // What run() ended for: the file is another and good, so this process shall begin anew. What the new configuration
  // keeps was left in place, and the state file tells of it.
  [[nodiscard]] bool begins_anew() const { return begins_anew_; }
  // In mode once: a line for each service.
  [[nodiscard]] std::string summary() const;
  // Something waits in a call nothing can interrupt: the end of the process must not wait for it.
  [[nodiscard]] bool blocked() const { return method_->blocked(); }

 private:
  struct Watched {  // a service, its mapping, and what was last said of it
    Service service;
    MappingSpec spec;
    std::string note;
    bool refused = false;
    bool configured = false;  // otherwise a UPnP control point's
  };

  Agent(const Config& config, const std::string& file, Mode mode);
  net::Result<void, std::string> make_method();
  net::Result<void, std::string> make_gateway();
  net::Result<void, std::string> open_proxy();
  void restore(Time now);
  MappingSpec spec_of(const Service& service, const State& saved, Time now) const;
  void restore_leases(const State& saved, Time now);

  void step();  // everything that is due, then sleep until the next thing
  void keep_path(Time now);
  void handle_pcp(Time now);
  void handle_gateway(Time now);
  void send_pcp(Time now);
  void handle_proxy(Time now);
  void handle_updates(Time now);
  void log(const PcpEvent& event);
  void log_protocol() const;
  void log(const UpdateEvent& event);
  Watched* watched(std::string_view service);
  [[nodiscard]] std::string status() const;
  [[nodiscard]] SavedMapping saved_mapping(MappingId id, const MappingSpec& spec) const;
  void save();
  void arm(Time now);
  void wait_for_signal();
  void begin_stop(Time now);
  void read_configuration_again(Time now);
  [[nodiscard]] bool finished(Time now) const;
  [[nodiscard]] bool all_decided() const;

  Config config_;
  std::string file_;
  Mode mode_;
  boost::asio::io_context io_{1};
  boost::asio::steady_timer timer_{io_};
  boost::asio::posix::stream_descriptor signals_;
  PcpSocket socket_;
  std::unique_ptr<UpdateMethod> method_;
  PcpClient pcp_;
  std::unique_ptr<ChangeDetector> detector_;
  std::unique_ptr<Updater> updater_;
  std::map<MappingId, Watched> watched_;
  std::optional<net::Ipv6> own_address_;  // empty: no path to the PCP server yet
  Time next_path_check_ = Time::min();
  Time give_up_ = never;  // stopping, or the end of mode once
  bool stopping_ = false;
  bool begins_anew_ = false;  // stopping, to be followed by a process with another configuration
  LinkMonitor links_;
  StatusSocket status_socket_;
  PcpProxy proxy_;
  ProxySocket proxy_socket_;
  std::unique_ptr<IgdInterworking> interworking_;  // none: no gateway is shown
  IgdState gateway_state_;
  std::unique_ptr<IgdDevice> gateway_;  // last: its thread calls us
};

}  // namespace portolan::ddns
