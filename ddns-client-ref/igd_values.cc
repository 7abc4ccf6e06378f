#include "ddns-client-ref/igd_values.h"

#include <algorithm>
#include <iterator>

#include "dataplane/net/text.h"

namespace portolan::ddns {

std::string_view to_text(IgdError error) {
  struct Text {
    IgdError error;
    std::string_view text;
  };
  constexpr Text texts[] = {{IgdError::invalid_action, "Invalid Action"},
                            {IgdError::invalid_arguments, "Invalid Args"},
                            {IgdError::action_failed, "Action Failed"},
                            {IgdError::not_authorized, "Action not authorized"},
                            {IgdError::no_such_index, "SpecifiedArrayIndexInvalid"},
                            {IgdError::no_such_entry, "NoSuchEntryInArray"},
                            {IgdError::wildcard_external_port, "WildCardNotPermittedInExtPort"},
                            {IgdError::conflict, "ConflictInMappingEntry"},
                            {IgdError::no_port_maps, "NoPortMapsAvailable"},
                            {IgdError::not_found_in_range, "PortMappingNotFound"},
                            {IgdError::is_read_only, "ReadOnly"},
                            {IgdError::wildcard_internal_port, "WildCardNotPermittedInIntPort"},
                            {IgdError::inconsistent, "InconsistentParameters"}};
  const auto* const row = std::ranges::find(texts, error, &Text::error);
  return row == std::end(texts) ? std::string_view{} : row->text;
}

std::string_view argument(const IgdCall& call, std::string_view name) {
  const auto found = call.arguments.find(name);
  return found == call.arguments.end() ? std::string_view{} : found->second;
}

std::optional<uint32_t> number_of(const IgdCall& call, std::string_view name, uint32_t max) {
  const auto number = net::parse_number(argument(call, name));
  if (!number || *number > max) return std::nullopt;
  return static_cast<uint32_t>(*number);
}

std::optional<net::Protocol> protocol_of(const IgdCall& call) {
  const std::string_view text = argument(call, "NewProtocol");
  if (text == "TCP") return net::Protocol::tcp;
  if (text == "UDP") return net::Protocol::udp;
  return std::nullopt;
}

RemoteHost remote_host_of(const IgdCall& call) {
  const std::string_view text = argument(call, "NewRemoteHost");
  if (text.empty()) return {};
  const auto address = net::parse_ipv4(text);
  if (!address) return {false, {}};
  return {true, *address == net::Ipv4{} ? std::nullopt : address};
}

std::string remote_text(const std::optional<net::Ipv4>& remote) { return remote ? net::to_text(*remote) : ""; }
std::string protocol_text(net::Protocol protocol) { return protocol == net::Protocol::tcp ? "TCP" : "UDP"; }
std::string port_text(net::Port port) { return std::to_string(uint16_t{port.number}); }

}  // namespace portolan::ddns
