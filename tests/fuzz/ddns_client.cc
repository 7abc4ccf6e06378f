// libFuzzer entry: what strangers send the DDNS client. First octet: who speaks: a DDNS server, the PCP server or a
// host through the proxy, a UPnP program, the kernel, the state file.
#include <cstring>
#include <string>

#include "dataplane/net/text.h"
#include "ddns-client-ref/igd_interworking.h"
#include "ddns-client-ref/link_monitor.h"
#include "ddns-client-ref/pcp_proxy.h"
#include "ddns-client-ref/state_file.h"
#include "ddns-client-ref/update_method.h"
#include "tests/fuzz/input.h"

namespace {

using namespace portolan;
using namespace portolan::ddns;
using fuzz::Input;

void holds(bool condition, const char* fault) { fuzz::require(condition ? "" : fault); }

std::string rest_of(Input& in) {
  const auto octets = in.take(1 << 16);
  return {octets.begin(), octets.end()};
}

const Time now{std::chrono::seconds(100'000)};
const net::Ipv6 host = net::mapped(net::Ipv4{uint32_t{0x0a00000a}});

// Answers are judged, and the judgement is one the updater can live with.
void server(Input& in) {
  static const auto url = *parse_url("http://ddns.example/");
  static const auto json = make_json_protocol(url, {"a", "t"});
  static const auto dyndns2 = make_dyndns2_protocol(url, {"a", "t"});
  const auto& protocol = in.below(2) == 0 ? json : dyndns2;
  const bool withdrawal = in.below(2) == 0;
  HttpResponse answer{in.word(), {}, {}};
  if (in.below(2) == 0) answer.retry_after_s = in.word();
  answer.body = rest_of(in);
  const Outcome outcome = protocol->judge(answer, withdrawal);
  holds(outcome.kind != Outcome::Kind::done || answer.status / 100 == 2 || (answer.status == 404 && withdrawal),
        "acknowledged by an error");
  holds(outcome.wait >= Duration{} && outcome.wait <= std::chrono::days(1), "waits for ever");
  for (const char c : outcome.text) holds(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f, "log is not one line");
}

void proxy(Input& in) {
  PcpProxy proxy(now);
  proxy.move_to(net::Ipv6{{0x20, 1, 0xd, 0xb8}});
  const bool right_client = in.below(2) == 0;
  std::string text = rest_of(in);
  std::vector<uint8_t> bytes(text.begin(), text.end());
  if (right_client && bytes.size() >= sizeof(pcp::RequestHeader))
    std::memcpy(bytes.data() + offsetof(pcp::RequestHeader, client), &host, sizeof host);
  proxy.from_host(bytes, {host, 40000}, now);
  for (auto& request : proxy.take_upstream()) {
    holds(request.size() <= pcp::message_bytes_max && request.size() % pcp::unit_bytes == 0, "a request of a bad size");
    request[1] |= pcp::response_bit;
    proxy.from_server(request, now);
  }
  proxy.from_server(bytes, now);
  for (const auto& each : proxy.take_downstream()) {
    holds(each.bytes.size() >= sizeof(pcp::ResponseHeader) && each.bytes.size() <= pcp::message_bytes_max &&
              each.bytes.size() % pcp::unit_bytes == 0 && (each.bytes[1] & pcp::response_bit) != 0,
          "an answer of a bad size or kind");
  }
}

// Whatever a program asks, it is answered once: now, when the PCP server does, or when time is up.
void upnp(Input& in) {
  PcpClient pcp({net::Ipv6{{0x20, 1}}, 5351}, net::Ipv6{{0x20, 1, 1}}, [] { return 0.5; });
  IgdInterworking igd({},
                      {[] { return pcp::Nonce{}; }, [](net::Protocol, net::Endpoint) { return std::nullopt; },
                       [] { return true; }, [] { return std::nullopt; }},
                      pcp);
  Time at = now;
  uint64_t calls = 0;
  size_t answers = 0;
  constexpr const char* numbers[] = {"0", "1", "8080", "65535", "65536", "x", ""};
  while (!in.empty() && calls < 64) {
    const auto actions = igd_actions(IgdService::wan_ip_connection);
    const IgdAction& action = actions[in.below(static_cast<unsigned>(actions.size()))];
    IgdCall call{++calls, std::string(action.name), {}, net::unmapped(host)};
    for (const IgdArgument& argument : action.in) {
      std::string value = in.one_of(numbers);
      if (argument.name == "NewProtocol") value = in.below(2) == 0 ? "TCP" : "UDP";
      if (argument.name == "NewInternalClient") value = "10.0.0.10";
      if (argument.name == "NewRemoteHost") value.clear();
      if (argument.name == "NewPortMappingDescription") value.assign(in.octet(), static_cast<char>(in.octet()));
      call.arguments.emplace(argument.name, value);
    }
    igd.call(call, at);
    PcpEvent event;
    event.kind = static_cast<PcpEvent::Kind>(in.below(5));
    event.id = IgdInterworking::probe_id + in.below(4);
    event.code = static_cast<pcp::Code>(in.below(14));
    igd.observe(event);
    at += std::chrono::seconds(in.octet());
    pcp.tick(at);
    igd.tick(at);
    answers += igd.take_answers().size();
    holds(answers <= calls, "answered more often than asked");
  }
  igd.tick(at + IgdInterworking::answer_within);
  answers += igd.take_answers().size();
  holds(answers == calls, "a call without an answer");
  holds(igd.leases().size() <= 64, "more leases than there may be");
}

void kernel(Input& in) {
  static boost::asio::io_context io;
  static LinkMonitor monitor(io, [](const LinkEvent&) {});
  const std::string text = rest_of(in);
  static_cast<void>(monitor.read(std::as_bytes(std::span(text))));
}

// A state that was read is written and read again as it is.
void file(Input& in) {
  const auto state = from_json(rest_of(in), std::chrono::seconds(0));
  if (!state) return;
  const std::string written = to_json(*state, std::chrono::seconds(0));
  const auto again = from_json(written, std::chrono::seconds(0));
  holds(again && to_json(*again, std::chrono::seconds(0)) == written, "a state that does not come back");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input in(data, size);
  constexpr void (*speakers[])(Input&) = {server, proxy, upnp, kernel, file};
  in.one_of(speakers)(in);
  return 0;
}
