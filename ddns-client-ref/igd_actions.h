// The UPnP Internet Gateway Device as its control points see it: which actions its services have, with which arguments,
// and the XML that says so. One table is the description, the reader of requests and the list the interworking serves.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/net/types.h"

namespace portolan::ddns {

struct IgdArgument {
  std::string_view name, variable;  // of the action; the state variable that gives its type
};
struct IgdAction {
  std::string_view name;
  std::vector<IgdArgument> in, out;
  unsigned since = 1;  // IGD version
};

enum class IgdService : uint8_t { wan_ip_connection, wan_common_interface_config };
std::span<const IgdAction> igd_actions(IgdService service);

// One call of an action.
struct IgdCall {
  uint64_t ticket = 0;
  std::string action;
  std::map<std::string, std::string, std::less<>> arguments;
  net::Ipv4 from;  // the control point
};

struct IgdAnswer {
  uint64_t ticket = 0;
  int error = 0;  // of UPnP; 0: none
  std::string error_text;
  std::vector<std::pair<std::string, std::string>> values;
};

// Files that describe the device, by name; `version` is 1 or 2, `unique_id` a UUID.
inline constexpr const char* igd_description_file = "igd.xml";
std::map<std::string, std::string> igd_files(unsigned version, const std::string& unique_id);

}  // namespace portolan::ddns
