// What can be found under a name: a service with its outside address and port, the URI it is reached by, and the rules
// a registration must keep before it becomes one. Values and pure functions; the registry owns the rows.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/net/result.h"
#include "dataplane/net/types.h"

namespace portolan::ddnsd {

// The row that holds what a client without ports reports (DYN-020): the name's address, port 0. '@' is no valid id.
constexpr std::string_view address_only_id = "@";

// Where a mapping leads, as the AFTR names it: subscriber ("2001:db8:b:100::/56") and his endpoint.
struct Inside {
  std::string subscriber;
  net::Endpoint endpoint;
  friend auto operator<=>(const Inside&, const Inside&) = default;
};

struct Service {
  std::string id;  // chosen by the client, stable while address and port change
  net::Protocol protocol = net::Protocol::tcp;
  net::Endpoint outside;
  std::string scheme;  // of the table below, or empty: listed, but not a link
  std::string path;    // empty or beginning with '/'
  std::string title;
  std::string type;  // in the DNS, "ipp" in _ipp._tcp (RFC 6763 §7); empty: as the scheme says, else the id
  int64_t expires_at_s = 0, updated_at_s = 0;
  std::optional<Inside> inside;  // the mapping it follows, where an AFTR vouches for it
  bool by_operator = false;      // there by a rule of the operator's, not by a client's update
};

// URI schemes a portal may link to. Anything else ("javascript:") is refused at the door.
struct Scheme {
  std::string_view name;
  std::string_view separator;    // between scheme and address: "://", or ":" where the URI has no authority
  std::string_view srv_service;  // the SRV label (IANA service name)
  std::string_view what;         // for people, when the service has no title
};
const Scheme* find_scheme(std::string_view name);
inline bool is_web(const Service& service) { return service.scheme == "http" || service.scheme == "https"; }

// What an id says about its scheme when a client names none: "web" is http, a scheme's own name is that scheme.
std::string default_scheme(std::string_view id);

std::string uri_of(const Service& service);    // "rtsp://192.0.2.1:8080/test.sdp"; empty without a scheme
std::string title_of(const Service& service);  // the title, else a description; never empty

// What keeps a registration from being a service: which field, and what it must be.
struct Invalid {
  std::string_view field;
  std::string text;
};
// Checks id, port, scheme, path, title and type; the address is AddressPolicy's business.
std::optional<Invalid> check(const Service& service);

// Which outside addresses may be registered: global unicast, and what `allow-address` covers. Private, shared and
// loopback addresses would let a name here be rebound into a visitor's own network.
class AddressPolicy {
  std::vector<net::Ipv4Prefix> allowed_;

 public:
  explicit AddressPolicy(std::vector<net::Ipv4Prefix> allowed) : allowed_(std::move(allowed)) {}
  [[nodiscard]] bool allows(net::Ipv4 address) const;
};

}  // namespace portolan::ddnsd
