// How a record gets to where names are kept: over HTTP, by a DNS UPDATE, or through a program of the user's. The
// updater decides alone what is said and when; a method carries it and judges the answer.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ddns-client-ref/http_message.h"
#include "ddns-client-ref/registration.h"
#include "ddns-client-ref/update_protocol.h"
#include "dns/update.h"

namespace portolan::ddns {

struct Abilities {
  bool withdraws = true;         // can take a record back
  bool carries_port = true;      // otherwise a record is a name and an address
  bool carries_lifetime = true;  // the other side forgets a record after its lifetime
  bool refreshes = true;         // wants to hear a record again at half of its lifetime
};

struct Update {
  size_t ticket = 0;
  bool withdrawal = false;
  bool last_of_name = false;  // withdrawal: nothing else is published under this name
  Registration record;
  std::optional<Registration> before;  // what was acknowledged last
};

class UpdateMethod {
 public:
  using Done = std::function<void(const Outcome&)>;  // called once, from the io_context, never from send()
  virtual ~UpdateMethod() = default;
  virtual void send(const Update& update, Done done) = 0;
  [[nodiscard]] virtual Abilities abilities() const = 0;
  // Waits in a call that nothing can interrupt: destroying the method would wait for it too.
  [[nodiscard]] virtual bool blocked() const { return false; }
};

// The error: certificates that cannot be read.
net::Result<std::unique_ptr<UpdateMethod>, std::string> make_http_method(boost::asio::io_context& io, const Url& server,
                                                                         const std::string& ca_file,
                                                                         std::unique_ptr<UpdateProtocol> protocol);

// RFC 2136 with TSIG, in the order of send().
std::unique_ptr<UpdateMethod> make_dns_method(boost::asio::io_context& io, const dns::Primary& primary);
// What a service has in the DNS: A of the name; SRV, URI and an A for SRV's target of its own, SERVICE.NAME, because
// another service of the name may be on another outside address.
std::vector<dns::Record> dns_records_of(const Registration& record);
// The record sets ("owner type") that registering or withdrawing replaces.
std::vector<std::string> dns_sets_of(const Update& update);

// A program, run by its arguments without a shell, one at a time; killed with its children when its time is over.
struct CommandSettings {
  std::vector<std::string> arguments;  // the program's path first
  Duration time_max = std::chrono::seconds(30);
};
std::unique_ptr<UpdateMethod> make_command_method(boost::asio::io_context& io, const CommandSettings& settings);
// All of the program's environment, as NAME=VALUE.
std::vector<std::string> command_environment(const Update& update);

}  // namespace portolan::ddns
