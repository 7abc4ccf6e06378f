// What is published: a service as configured, and the record of it a DDNS server holds (RFC 7393 §2.2, §3.1).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/net/types.h"

namespace portolan::ddns {

// One [service.ID] section.
struct Service {
  std::string id;
  std::vector<std::string> names;  // FQDNs, lower case, no final dot: the service is published under each
  net::Protocol protocol = net::Protocol::tcp;
  net::Endpoint inside;
  std::string scheme = "http";
  std::string path = "/";
  std::string title;
  std::string type;  // service type of RFC 6763 §7 without underscores; empty: the scheme says it
  net::Port suggested_port;
};

struct Registration {
  std::string name;
  std::string service;
  net::Protocol protocol{};
  net::Endpoint outside;
  std::string scheme;
  std::string path;
  std::string title;
  uint32_t lifetime_s = 0;
  std::string type;
};

inline Registration registration_of(const Service& service, const std::string& name) {
  return {name, service.id, service.protocol, {}, service.scheme, service.path, service.title, 0, service.type};
}

// Whether two registrations say the same; how long each is good for is not part of what it says.
inline bool same_record(const Registration& a, const Registration& b) {
  return a.name == b.name && a.service == b.service && a.protocol == b.protocol && a.outside == b.outside &&
         a.scheme == b.scheme && a.path == b.path && a.title == b.title && a.type == b.type;
}

// scheme://address:port/path, empty without a scheme. What RFC 3986 §3.3-3.4 does not allow in a path is encoded.
std::string uri_of(const Registration& record);

}  // namespace portolan::ddns
