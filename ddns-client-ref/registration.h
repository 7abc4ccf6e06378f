// What is published: a service as configured, and the record of it a DDNS server holds (RFC 7393 §2.2, §3.1).
#pragma once

#include <cstdint>
#include <string>

#include "dataplane/net/types.h"

namespace portolan::ddns {

// One [service.ID] section.
struct Service {
  std::string id;
  std::string name;  // FQDN, lower case, no final dot
  net::Protocol protocol = net::Protocol::tcp;
  net::Endpoint inside;
  std::string scheme = "http";
  std::string path = "/";
  std::string title;
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
};

inline Registration registration_of(const Service& service, net::Endpoint outside, uint32_t lifetime_s) {
  return {service.name, service.id, service.protocol, outside, service.scheme, service.path, service.title, lifetime_s};
}

// Whether two registrations say the same; how long each is good for is not part of what it says.
inline bool same_record(const Registration& a, const Registration& b) {
  return a.name == b.name && a.service == b.service && a.protocol == b.protocol && a.outside == b.outside &&
         a.scheme == b.scheme && a.path == b.path && a.title == b.title;
}

}  // namespace portolan::ddns
