// Section numbers are RFC 7648's where nothing else is said.
#include "ddns-client-ref/pcp_proxy.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "pcp-server/codec.h"

namespace portolan::ddns {
namespace {

using std::chrono::seconds;

constexpr Duration answer_within = seconds(30);
constexpr uint32_t long_error_s = 1800, short_error_s = 30;  // RFC 6887 §7.4
constexpr unsigned announcements = 10;                       // RFC 6887 §14.1.1
constexpr Duration announce_gap_first = std::chrono::milliseconds(250);
const PcpPeer all_hosts{net::mapped(net::Ipv4{uint32_t{0xe0000001}}), uint16_t{pcp::client_port.number}};

constexpr size_t third_party_bytes = sizeof(pcp::OptionHeader) + sizeof(net::Ipv6);

bool is_mapping(pcp::Opcode opcode) { return opcode == pcp::Opcode::map || opcode == pcp::Opcode::peer; }

// Where options begin; of an opcode not known here nobody can tell.
size_t body_end(pcp::Opcode opcode) { return opcode == pcp::Opcode::peer ? pcp::peer_bytes : pcp::map_bytes; }

// Where an option stands in a message, with its padding.
struct Place {
  size_t at, bytes;
};
struct Options {
  bool well_formed = true;
  std::optional<Place> third_party;
  bool unknown = false;  // one of those that must be processed is none of ours
};

// RFC 6887 §13, RFC 7652, RFC 7843: what is not translated where no NAT stands, but has a meaning that is known.
bool is_known(uint8_t code) {
  return (code >= static_cast<uint8_t>(pcp::OptionCode::third_party) &&
          code <= static_cast<uint8_t>(pcp::OptionCode::third_party_id)) ||
         (code & pcp::option_optional_bit) != 0;
}

Options look_through(std::span<const uint8_t> message, size_t begin) {
  Options out;
  while (begin < message.size()) {
    pcp::OptionHeader header{};
    if (message.size() - begin < sizeof header) return {false, {}, false};
    std::memcpy(&header, message.data() + begin, sizeof header);
    const size_t bytes = sizeof header + pcp::padded(uint16_t{header.bytes});
    if (bytes > message.size() - begin) return {false, {}, false};
    if (header.code == static_cast<uint8_t>(pcp::OptionCode::third_party)) out.third_party = Place{begin, bytes};
    out.unknown |= !is_known(header.code);
    begin += bytes;
  }
  return out;
}

std::vector<uint8_t> options_of(std::span<const uint8_t> message, pcp::Opcode opcode) {
  const auto options = message.subspan(std::min(message.size(), body_end(opcode)));
  return {options.begin(), options.end()};
}

// What a response repeats of its request (RFC 6887 §11.4, §12.4), and for whom.
std::string key_of(std::span<const uint8_t> message, pcp::Opcode opcode, const net::Ipv6& host) {
  std::string key(1, static_cast<char>(opcode));
  if (is_mapping(opcode)) {
    pcp::MapBody map{};
    std::memcpy(&map, message.data() + sizeof(pcp::RequestHeader), sizeof map);
    key.append(map.nonce.begin(), map.nonce.end());
    key += static_cast<char>(map.protocol);
    key.append(reinterpret_cast<const char*>(&map.internal_port), sizeof map.internal_port);
  }
  if (opcode == pcp::Opcode::peer)
    key.append(reinterpret_cast<const char*>(message.data()) + pcp::map_bytes, pcp::peer_bytes - pcp::map_bytes);
  key.append(host.bytes.begin(), host.bytes.end());
  return key;
}

}  // namespace

void PcpProxy::move_to(const std::optional<net::Ipv6>& own_address) {
  if (own_address == own_address_) return;
  own_address_ = own_address;
  forget_answers();  // to a server they were another client's
}

void PcpProxy::forget_answers() {
  for (auto& [key, mapping] : mappings_) mapping.answer.clear();
}

uint32_t PcpProxy::epoch_s(Time now) const {
  return static_cast<uint32_t>(std::chrono::duration_cast<seconds>(now - epoch_began_).count());
}

// Nothing of a host's is believed but where it comes from: RFC 6887 §8.2's checks are made here as a server makes them.
void PcpProxy::from_host(std::span<const uint8_t> bytes, const PcpPeer& host, Time now) {
  if (bytes.size() < 2 || (bytes[1] & pcp::response_bit) != 0 || !net::is_mapped(host.address)) return;
  if (!take_token(now)) return;
  if (bytes[0] != pcp::version) return refuse(bytes, host, pcp::Code::unsupp_version, false, now);
  if (bytes.size() < sizeof(pcp::RequestHeader)) return;
  const auto request = pcp::parse_request(bytes);
  if (!request) return refuse(bytes, host, pcp::Code::malformed_request, false, now);
  if (const auto code = judge(*request, bytes, host)) return refuse(bytes, host, *code, true, now);
  // Answered here (§3.5): it asks how the proxy's own state is.
  if (request->opcode == pcp::Opcode::announce)
    return downstream_.push_back({host, pcp::build_announce_response(epoch_s(now))});
  if (!answer_from_table(*request, bytes, host, now)) relay(*request, bytes, host, now);
}

// THIRD_PARTY is how the proxy speaks for its hosts; hosts do not speak for each other through it.
std::optional<pcp::Code> PcpProxy::judge(const pcp::Request& request, std::span<const uint8_t> bytes,
                                         const PcpPeer& host) const {
  if (request.client != host.address) return pcp::Code::address_mismatch;
  if (request.opcode == pcp::Opcode::announce) return std::nullopt;
  if (!is_mapping(request.opcode) && !relay_unknown_) return pcp::Code::unsupp_opcode;
  const Options options = is_mapping(request.opcode) ? look_through(bytes, body_end(request.opcode)) : Options{};
  if (!options.well_formed) return pcp::Code::malformed_option;
  if (options.third_party || (options.unknown && !relay_unknown_)) return pcp::Code::unsupp_option;
  if (bytes.size() + third_party_bytes > pcp::message_bytes_max) return pcp::Code::malformed_request;
  if (!own_address_) return pcp::Code::network_failure;
  return std::nullopt;
}

// Only what was asked with the same options: another filter, say, is the server's to judge.
bool PcpProxy::answer_from_table(const pcp::Request& request, std::span<const uint8_t> bytes, const PcpPeer& host,
                                 Time now) {
  if (!is_mapping(request.opcode) || request.lifetime_s == 0) return false;
  const auto known = mappings_.find(key_of(bytes, request.opcode, host.address));
  if (known == mappings_.end()) return false;
  const Mapping& mapping = known->second;
  const Duration left = mapping.expires - now;
  if (mapping.answer.empty() || mapping.options != options_of(bytes, request.opcode) ||
      left * 4 < seconds(request.lifetime_s) * 3)
    return false;
  pcp::Message answer = mapping.answer;
  const net::be32 left_s(static_cast<uint32_t>(std::chrono::duration_cast<seconds>(left).count()));
  std::memcpy(answer.data() + offsetof(pcp::ResponseHeader, lifetime_s), &left_s, sizeof left_s);
  pass_down(host, std::move(answer), now);
  return true;
}

void PcpProxy::relay(const pcp::Request& request, std::span<const uint8_t> bytes, const PcpPeer& host, Time now) {
  pcp::Message out(bytes.begin(), bytes.end());
  std::memcpy(out.data() + offsetof(pcp::RequestHeader, client), &*own_address_, sizeof *own_address_);
  pcp::append(out, pcp::OptionHeader{static_cast<uint8_t>(pcp::OptionCode::third_party), 0,
                                     net::be16(static_cast<uint16_t>(sizeof(net::Ipv6)))});
  pcp::append(out, host.address);
  const std::string key = key_of(out, request.opcode, host.address);
  if (request.lifetime_s == 0) mappings_.erase(key);
  std::erase_if(pending_, [&](const Pending& each) { return each.key == key || each.until <= now; });
  if (pending_.size() == pending_max) pending_.erase(pending_.begin());  // its host asks again
  pending_.push_back({key, host, now + answer_within, options_of(bytes, request.opcode)});
  upstream_.push_back(std::move(out));
}

void PcpProxy::refuse(std::span<const uint8_t> request, const PcpPeer& host, pcp::Code code, bool parsed, Time now) {
  const uint32_t lifetime_s = code == pcp::Code::network_failure ? short_error_s : long_error_s;
  downstream_.push_back({host, pcp::build_error_response(request, {code, lifetime_s, parsed}, epoch_s(now))});
}

bool PcpProxy::take_token(Time now) {
  const double passed_s = std::chrono::duration<double>(now - refilled_).count();
  tokens_ = std::min(burst, tokens_ + passed_s * requests_per_s);
  refilled_ = now;
  if (tokens_ < 1) return false;
  tokens_ -= 1;
  return true;
}

void PcpProxy::from_server(std::span<const uint8_t> bytes, Time now) {
  const auto response = pcp::parse_response(bytes);
  if (!response && response.error() == pcp::Ignored::unknown_opcode) return from_server_unknown(bytes, now);
  if (!response || response->code == pcp::Code::unsupp_version) return;
  if (response->opcode == pcp::Opcode::announce) {
    if (response->code == pcp::Code::success) check_epoch(response->epoch_s, now);
    return;
  }
  const Options options = look_through(bytes, body_end(response->opcode));
  if (!options.well_formed || !options.third_party || options.third_party->bytes != third_party_bytes) return;
  net::Ipv6 host{};
  std::memcpy(&host, bytes.data() + options.third_party->at + sizeof(pcp::OptionHeader), sizeof host);
  const std::string key = key_of(bytes, response->opcode, host);
  const auto asked = std::ranges::find(pending_, key, &Pending::key);
  const auto known = mappings_.find(key);
  if (asked == pending_.end() && known == mappings_.end()) return;  // our own client's, or nobody's
  check_epoch(response->epoch_s, now);
  pcp::Message out(bytes.begin(), bytes.end());
  const auto option = out.begin() + static_cast<std::ptrdiff_t>(options.third_party->at);
  out.erase(option, option + static_cast<std::ptrdiff_t>(options.third_party->bytes));
  if (response->code == pcp::Code::success && response->lifetime_s == 0) {
    mappings_.erase(key);
  } else if (response->code == pcp::Code::success && (known != mappings_.end() || mappings_.size() < mappings_max)) {
    Mapping& mapping = mappings_[key];
    mapping.host = host;
    mapping.expires = now + seconds(response->lifetime_s);
    mapping.answer = out;
    if (asked != pending_.end()) mapping.options = asked->options;
  }
  // An answer goes where the question came from, an update of a mapping where RFC 6887 §14.2 sends it.
  const PcpPeer to = asked != pending_.end() ? asked->host : PcpPeer{host, uint16_t{pcp::client_port.number}};
  if (asked != pending_.end()) pending_.erase(asked);
  pass_down(to, std::move(out), now);
}

// Of an opcode not known here only the ends are: the header, and THIRD_PARTY where the server left it, at the end.
void PcpProxy::from_server_unknown(std::span<const uint8_t> bytes, Time now) {
  const auto opcode = static_cast<pcp::Opcode>(bytes[1] & ~pcp::response_bit);
  if (bytes.size() < sizeof(pcp::ResponseHeader) + third_party_bytes) return;
  const auto tail = bytes.last(third_party_bytes);
  const Options options = look_through(tail, 0);
  if (!options.third_party || options.third_party->bytes != third_party_bytes) return;
  net::Ipv6 host{};
  std::memcpy(&host, tail.data() + sizeof(pcp::OptionHeader), sizeof host);
  const auto asked = std::ranges::find(pending_, key_of(bytes, opcode, host), &Pending::key);
  if (asked == pending_.end()) return;
  const PcpPeer to = asked->host;
  pending_.erase(asked);
  pcp::ResponseHeader header{};
  std::memcpy(&header, bytes.data(), sizeof header);
  check_epoch(header.epoch_s, now);
  const auto body = bytes.first(bytes.size() - third_party_bytes);
  pass_down(to, {body.begin(), body.end()}, now);
}

void PcpProxy::pass_down(const PcpPeer& to, pcp::Message answer, Time now) {
  pcp::set_epoch(answer, epoch_s(now));  // the proxy's own (§3)
  downstream_.push_back({to, std::move(answer)});
}

// The server lost its state: hosts are told to repair it (§3, way 2), by a new epoch and by announcements.
void PcpProxy::check_epoch(uint32_t server_epoch_s, Time now) {
  const auto client_s = static_cast<uint32_t>(std::chrono::duration_cast<seconds>(now.time_since_epoch()).count());
  if (server_epoch_.valid(client_s, server_epoch_s)) return;
  forget_answers();
  epoch_began_ = now;
  announcements_left_ = announcements;
  announce_gap_ = announce_gap_first;
  announce_at_ = now;
  tick(now);
}

void PcpProxy::tick(Time now) {
  std::erase_if(pending_, [&](const Pending& each) { return each.until <= now; });
  std::erase_if(mappings_, [&](const auto& each) { return each.second.expires <= now; });
  if (announce_at_ > now) return;
  downstream_.push_back({all_hosts, pcp::build_announce_response(epoch_s(now))});
  --announcements_left_;
  announce_at_ = announcements_left_ > 0 ? now + announce_gap_ : never;
  announce_gap_ *= 2;
}

Time PcpProxy::next_timer() const { return announce_at_; }

std::vector<pcp::Message> PcpProxy::take_upstream() { return std::exchange(upstream_, {}); }
std::vector<PcpProxy::Downstream> PcpProxy::take_downstream() { return std::exchange(downstream_, {}); }

}  // namespace portolan::ddns
