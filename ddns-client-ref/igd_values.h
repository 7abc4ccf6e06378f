// What UPnP calls say and answers are made of: arguments read, values written, the Forum's error numbers. Pure
// functions of text; what a call means is igd_interworking.h's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "dataplane/net/types.h"
#include "ddns-client-ref/igd_actions.h"

namespace portolan::ddns {

// UPnP Device Architecture 1.1 §3.2.2; WANIPConnection:2 §2.5.
enum class IgdError : int {
  none = 0,
  invalid_action = 401,
  invalid_arguments = 402,
  action_failed = 501,
  not_authorized = 606,
  no_such_index = 713,
  no_such_entry = 714,
  wildcard_external_port = 716,
  conflict = 718,
  no_port_maps = 728,
  not_found_in_range = 730,
  is_read_only = 731,
  wildcard_internal_port = 732,
  inconsistent = 733,
};
std::string_view to_text(IgdError error);  // as a SOAP fault's errorDescription

// An argument's text; empty if the call has none of this name.
std::string_view argument(const IgdCall& call, std::string_view name);
std::optional<uint32_t> number_of(const IgdCall& call, std::string_view name, uint32_t max);
std::optional<net::Protocol> protocol_of(const IgdCall& call);

// NewRemoteHost: anybody (empty, or 0.0.0.0 as some programs write it), or one address. Names are not resolved here.
struct RemoteHost {
  bool valid = true;
  std::optional<net::Ipv4> address;  // none: anybody
};
RemoteHost remote_host_of(const IgdCall& call);
std::string remote_text(const std::optional<net::Ipv4>& remote);

std::string protocol_text(net::Protocol protocol);
std::string port_text(net::Port port);

}  // namespace portolan::ddns
