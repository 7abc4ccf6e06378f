#include "tests/packets/packet_text.h"

#include <algorithm>
#include <iterator>
#include <sstream>
#include <stdexcept>

#include "dataplane/net/text.h"

namespace portolan::packets {

namespace {

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error(what); }

template <class T>
T must(std::optional<T> value, const std::string& word) {
  if (!value) fail("not understood: " + word);
  return *value;
}

// What may follow a word: options without and with a value.
const Words flags{"df", "badip", "nocsum", "badcsum", "extended", "dstopt"};
const Words keys{"ttl",    "tos",  "id",     "frag", "opts",   "ver",     "ihl",  "len",  "pad",
                 "udplen", "mss",  "oddmss", "mtu",  "tcpoff", "quote",   "tc",   "hl",   "nh",
                 "ext",    "tail", "limit",  "seq",  "urg",    "tcpopts", "data", "after"};
constexpr size_t outer_bytes = 40, extended_quote_bytes = 128;

bool is_one_of(const Words& words, const std::string& word) { return std::ranges::find(words, word) != words.end(); }

class Builder {
 public:
  Builder(const Words& words, Variables& variables, const Bytes* actual)
      : words_(words), variables_(variables), actual_(actual) {}

  Bytes frame(net::Mac to, const net::Mac& from, pipeline::Side side) {
    to_internet_ = side == pipeline::Side::internet;
    if (next_is("to")) {
      const std::string word = take();
      to = must(net::parse_mac(word), word);
    }
    if (next_is("frame")) return hex_to_end(), out_;
    out_.insert(out_.end(), to.bytes.begin(), to.bytes.end());
    out_.insert(out_.end(), from.bytes.begin(), from.bytes.end());
    if (next_is("vlan")) put(0x8100, 2), put(number(take()), 2);
    put(side == pipeline::Side::access ? 0x86dd : 0x0800, 2);
    if (is_one_of(words_, "icmp6"))
      icmpv6();
    else if (is_one_of(words_, "/"))
      outer();
    else
      ipv4(false);
    if (at_ != words_.size()) fail("one word too many: " + words_[at_]);
    out_.insert(out_.end(), padding_, 0xee);
    return out_;
  }

  Bytes quoted() {
    ipv4(true);
    if (at_ != words_.size()) fail("one word too many: " + words_[at_]);
    return out_;
  }

 private:
  using Options = std::map<std::string, std::string>;
  struct Transport {
    uint32_t protocol = 0;
    Words fields;  // in the text's order, as far as numbers
    std::string flags;
    bool is_raw = false;  // no header, no checksum: payload whatever the protocol
  };

  std::string take() { return at_ < words_.size() ? words_[at_++] : (fail("a word is missing at the end"), ""); }
  bool next_is(const std::string& word) { return at_ < words_.size() && words_[at_] == word && ++at_ > 0; }
  void expect(const std::string& word) {
    if (!next_is(word)) fail("expected '" + word + "'");
  }
  Options options(bool outer) {
    Options found;
    while (at_ < words_.size() && (is_one_of(flags, words_[at_]) || is_one_of(keys, words_[at_]))) {
      const std::string name = take();
      found[name] = is_one_of(keys, name) ? take() : "1";
      if (name == "frag" && outer) found["fragid"] = take();
    }
    return found;
  }
  static uint32_t option(const Options& all, const std::string& name, uint32_t otherwise) {
    const auto found = all.find(name);
    return found == all.end() ? otherwise : number(found->second);
  }

  void put(uint64_t value, size_t bytes) {
    while (bytes-- > 0) out_.push_back(static_cast<uint8_t>(value >> (8 * bytes)));
  }
  void patch(size_t at, uint32_t value) {
    out_[at] = static_cast<uint8_t>(value >> 8), out_[at + 1] = static_cast<uint8_t>(value);
  }
  void hex(const std::string& digits) {
    if (digits.size() % 2 != 0) fail("half an octet in " + digits);
    for (size_t i = 0; i < digits.size(); i += 2) put(std::stoul(digits.substr(i, 2), nullptr, 16), 1);
  }
  void hex_to_end() {
    while (at_ < words_.size()) hex(take());
  }
  void payload(const Transport& kind, const Options& all) {
    if (all.contains("data")) return hex(all.at("data"));
    payload(number(kind.fields[0]));
  }
  void payload(uint32_t bytes) {
    for (uint32_t i = 0; i < bytes; ++i) put(i * 7 + (i >> 8) + 1, 1);
  }

  // A number, an address or a variable of `bytes` octets.
  void put_word(const std::string& word, size_t bytes) {
    if (word[0] != '$')
      return put(bytes == 4 && word.find('.') != std::string::npos ? uint32_t{must(net::parse_ipv4(word), word).bits}
                                                                   : number(word),
                 bytes);
    if (!variables_.contains(word)) {
      if (actual_ == nullptr) fail(word + " is not known yet");
      uint32_t value = 0;
      for (size_t i = 0; i < bytes && out_.size() + i < actual_->size(); ++i)
        value = value << 8 | (*actual_)[out_.size() + i];
      variables_[word] = value;
    }
    put(variables_[word], bytes);
  }

  net::Ipv6 take_ipv6() {
    const std::string word = take();
    return must(net::parse_ipv6(word), word);
  }
  void outer() {
    const net::Ipv6 source = take_ipv6();
    expect(">");
    const net::Ipv6 destination = take_ipv6();
    const Options all = options(true);
    const bool destination_option = all.contains("dstopt"), is_fragment = all.contains("frag");
    const size_t start = out_.size();
    put(uint64_t{6} << 28 | uint64_t{option(all, "tc", 0)} << 20, 4);
    put(0, 2);
    const uint32_t payload = all.contains("limit") ? 60 : 4;
    put(option(all, "nh", destination_option ? 60 : is_fragment ? 44 : payload), 1);
    put(option(all, "hl", 64), 1);
    out_.insert(out_.end(), source.bytes.begin(), source.bytes.end());
    out_.insert(out_.end(), destination.bytes.begin(), destination.bytes.end());
    if (destination_option) hex("0400040104010100");  // Tunnel Encapsulation Limit 4 (RFC 2473 §5.1)
    if (all.contains("ext")) hex(all.at("ext"));
    if (is_fragment) put((all.contains("after") ? 60U : payload) << 8, 2), put(0, 2), put_word(all.at("fragid"), 4);
    const size_t inner = out_.size();
    if (all.contains("after")) hex(all.at("after"));
    if (all.contains("limit")) hex("04000401"), put(option(all, "limit", 0), 1), hex("010100");  // RFC 2473 §4.1.1
    expect("/");
    if (next_is("raw"))
      hex_to_end();
    else
      ipv4(false);
    if (is_fragment) cut(inner, all.at("frag"));
    out_.insert(out_.end(), option(all, "tail", 0), 0xdd);
    patch(start + 4, option(all, "len", static_cast<uint32_t>(out_.size() - start - outer_bytes)));
  }

  // An ICMPv6 error about a tunnel packet.
  void icmpv6() {
    const size_t start = out_.size();
    const net::Ipv6 source = take_ipv6();
    expect(">");
    const net::Ipv6 destination = take_ipv6();
    put(0x60000000, 4), put(0, 2), put(58, 1), put(64, 1);
    out_.insert(out_.end(), source.bytes.begin(), source.bytes.end());
    out_.insert(out_.end(), destination.bytes.begin(), destination.bytes.end());
    const size_t message = out_.size();
    expect("icmp6");
    put(number(take()), 1), put(number(take()), 1), put(0, 2), put(number(take()), 4);
    const Options all = options(true);
    expect("about");
    const size_t quote = out_.size();
    outer();
    if (all.contains("quote")) out_.resize(quote + option(all, "quote", 0));
    const auto bytes = static_cast<uint32_t>(out_.size() - message);
    patch(start + 4, bytes);
    uint32_t sum = 58 + bytes + (all.contains("badcsum") ? 1 : 0);
    for (size_t at = start + 8; at < start + 40; at += 2) sum += static_cast<uint32_t>(out_[at] << 8 | out_[at + 1]);
    patch(message + 2, checksum(message, sum));
  }

  // Keeps octets FIRST-END of what begins at `inner`, and says so in the fragment header before it (RFC 8200 §4.5).
  void cut(size_t inner, const std::string& range) {
    const bool more = cut_octets(inner, range);
    patch(inner - 6, number(range.substr(0, range.find('-'))) | (more ? 1U : 0U));
  }
  // Returns whether there were more behind them.
  bool cut_octets(size_t inner, const std::string& range) {
    const auto dash = range.find('-');
    const uint32_t first = number(range.substr(0, dash)), end = number(range.substr(dash + 1));
    if (first % 8 != 0 || end > out_.size() - inner) fail("no such fragment: " + range);
    const bool more = end < out_.size() - inner;
    out_.resize(inner + end);
    out_.erase(out_.begin() + static_cast<std::ptrdiff_t>(inner),
               out_.begin() + static_cast<std::ptrdiff_t>(inner + first));
    return more;
  }

  Transport transport() {
    static const std::map<std::string, std::pair<uint32_t, size_t>> kinds{
        {"udp", {17, 1}}, {"tcp", {6, 1}}, {"icmp", {1, 0}}, {"proto", {0, 1}}};
    const std::string kind = take();
    if (!kinds.contains(kind)) fail("no such transport: " + kind);
    Transport out{kinds.at(kind).first, {}, {}};
    if (kind == "proto") out.is_raw = true, out.protocol = number(take());
    if (kind == "tcp") out.flags = take();
    if (kind == "icmp") {
      const bool echo = next_is("echo"), reply = !echo && next_is("reply");
      if (echo || reply) return out.fields = {echo ? "8" : "0", "0", take(), take(), take()}, out;
      out.fields = {take(), take(), "0", "0"};
      out.fields.push_back(at_ < words_.size() && std::isdigit(words_[at_][0]) != 0 ? take() : "0");
      return out;
    }
    out.fields = {take()};
    return out;
  }

  void ipv4(bool quoted) {
    const std::string source = take();
    expect(">");
    const std::string destination = take();
    const Transport kind = transport();
    const Options all = options(false);
    padding_ = std::max<size_t>(padding_, option(all, "pad", 0));
    const std::string fragment = all.contains("frag") ? all.at("frag") : "0";
    const bool is_cut = fragment.find('-') != std::string::npos;
    const uint32_t offset =
        is_cut ? 0 : static_cast<uint32_t>(std::stoul(fragment)) | (fragment.back() == '+' ? 0x2000U : 0U);
    const std::string ip_options = all.contains("opts") ? all.at("opts") : "";
    const uint32_t default_ttl = quoted || actual_ == nullptr ? 64 : 63;

    const size_t start = out_.size();
    put(option(all, "ver", 4) << 4 | option(all, "ihl", static_cast<uint32_t>(5 + ip_options.size() / 8)), 1);
    put(option(all, "tos", 0), 1);
    put(0, 2);
    put_identification(all, !quoted && (to_internet_ || source[0] == '$'));
    put(offset | (all.contains("df") ? 0x4000U : 0U), 2);
    put(option(all, "ttl", default_ttl), 1);
    put(kind.protocol, 1);
    put(0, 2);
    put_word(source.substr(0, source.find(':')), 4);
    put_word(destination.substr(0, destination.find(':')), 4);
    hex(ip_options);
    const size_t body = out_.size();
    const auto port = [](const std::string& endpoint) {
      return endpoint.find(':') == std::string::npos ? "0" : endpoint.substr(endpoint.find(':') + 1);
    };
    if (kind.is_raw)
      payload(number(kind.fields[0]));
    else if (kind.protocol == 17)
      udp(port(source), port(destination), kind, all);
    else if (kind.protocol == 6)
      tcp(port(source), port(destination), kind, all);
    else
      icmp(kind, all);
    patch(start + 2, option(all, "len", static_cast<uint32_t>(out_.size() - start)));
    patch(start + 10, checksum(start, body, all.contains("badip") ? 1 : 0));
    if (!kind.is_raw) seal_transport(start, body, kind.protocol, all);
    if (is_cut) cut_ipv4(start, body, fragment);
  }

  void put_identification(const Options& all, bool translated) {
    if (all.contains("id")) return put_word(all.at("id"), 2);
    const bool renewed = actual_ != nullptr && translated && !all.contains("df");
    for (size_t i = 0; i < 2; ++i) put(renewed && out_.size() < actual_->size() ? (*actual_)[out_.size()] : 0, 1);
  }

  // Keeps octets FIRST-END of what the packet carries (RFC 791 §3.2).
  void cut_ipv4(size_t start, size_t body, const std::string& range) {
    const bool more = cut_octets(body, range);
    patch(start + 2, static_cast<uint32_t>(out_.size() - start));
    patch(start + 6, number(range.substr(0, range.find('-'))) / 8 | (more ? 0x2000U : 0U));
    patch(start + 10, 0);
    patch(start + 10, checksum(start, body, 0));
  }

  void udp(const std::string& source, const std::string& destination, const Transport& kind, const Options& all) {
    const uint32_t bytes =
        all.contains("data") ? static_cast<uint32_t>(all.at("data").size() / 2) : number(kind.fields[0]);
    put_word(source, 2), put_word(destination, 2);
    put(option(all, "udplen", 8 + bytes), 2), put(0, 2);
    payload(kind, all);
  }

  void tcp(const std::string& source, const std::string& destination, const Transport& kind, const Options& all) {
    static const std::string letters = "FSRPAU";
    uint32_t flag_bits = 0;
    for (const char letter : kind.flags)
      if (const auto bit = letters.find(letter); bit != std::string::npos) flag_bits |= 1U << bit;
    const std::string tcp_options = tcp_options_of(all);
    put_word(source, 2), put_word(destination, 2);
    put(option(all, "seq", 0x01020304), 4), put((flag_bits & 0x10) != 0 ? 0x0a0b0c0d : 0, 4);
    put(option(all, "tcpoff", static_cast<uint32_t>(5 + tcp_options.size() / 8)) << 4, 1), put(flag_bits, 1);
    put(0x4000, 2), put(0, 2), put(option(all, "urg", 0), 2);
    hex(tcp_options);
    payload(kind, all);
  }
  static std::string tcp_options_of(const Options& all) {
    if (all.contains("tcpopts")) return all.at("tcpopts");
    const bool odd = all.contains("oddmss");  // one NOP before: the option begins at an odd octet
    if (!odd && !all.contains("mss")) return "";
    const uint32_t mss = option(all, odd ? "oddmss" : "mss", 0);
    const std::string text = "0204" + packets::hex({static_cast<uint8_t>(mss >> 8), static_cast<uint8_t>(mss)});
    return odd ? "01" + text + "010100" : text;
  }

  void icmp(const Transport& kind, const Options& all) {
    const size_t start = out_.size();
    put(number(kind.fields[0]), 1), put(number(kind.fields[1]), 1), put(0, 2);
    put_word(kind.fields[2], 2);
    if (all.contains("mtu"))
      put(option(all, "mtu", 0), 2);
    else
      put_word(kind.fields[3], 2);
    if (!next_is("about")) return payload(number(kind.fields[4]));
    const size_t quote = out_.size();
    ipv4(true);
    if (all.contains("quote")) out_.resize(quote + option(all, "quote", 0));
    if (!all.contains("extended")) return;
    out_.resize(quote + extended_quote_bytes);
    out_[start + 5] = extended_quote_bytes / 4;  // RFC 4884 §4.1
    hex("20000000"
        "0008010100001140");  // version 2; an MPLS label stack object (RFC 4950)
    patch(quote + extended_quote_bytes + 2, checksum(quote + extended_quote_bytes, 0));
  }

  // RFC 1071, literally, over everything from `at`.
  [[nodiscard]] uint32_t checksum(size_t at, uint32_t sum) const { return checksum(at, out_.size(), sum); }
  [[nodiscard]] uint32_t checksum(size_t at, size_t end, uint32_t sum) const {
    for (; at < end; at += 2) sum += static_cast<uint32_t>(out_[at] << 8 | (at + 1 < end ? out_[at + 1] : 0));
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    return ~sum & 0xffff;
  }
  // Sets the checksum of what begins at `body` in the IPv4 packet at `start`.
  void seal_transport(size_t start, size_t body, uint32_t protocol, const Options& all) {
    const size_t field = body + (protocol == 17 ? 6 : protocol == 6 ? 16 : 2);
    uint32_t sum = protocol == 1 ? 0 : protocol + static_cast<uint32_t>(out_.size() - body);
    for (size_t at = start + 12; at < start + 20 && protocol != 1; at += 2)
      sum += static_cast<uint32_t>(out_[at] << 8 | out_[at + 1]);
    uint32_t value = checksum(body, all.contains("badcsum") ? sum + 1 : sum);
    if (protocol == 17 && value == 0) value = 0xffff;  // RFC 768
    patch(field, all.contains("nocsum") ? 0 : value);
  }

  const Words& words_;
  Variables& variables_;
  const Bytes* actual_;
  size_t at_ = 0, padding_ = 0;
  bool to_internet_ = false;
  Bytes out_;
};

}  // namespace

uint32_t number(const std::string& word) {
  size_t used = 0;
  const bool is_hex = word.starts_with("0x");
  if (word.empty() || std::isdigit(static_cast<unsigned char>(word[0])) == 0) fail("not a number: " + word);
  const unsigned long value = std::stoul(word, &used, is_hex ? 16 : 10);
  if (used != word.size() || value > ~uint32_t{0}) fail("not a number: " + word);
  return static_cast<uint32_t>(value);
}

std::string hex(const Bytes& bytes) {
  std::string out;
  for (const uint8_t byte : bytes) out += "0123456789abcdef"[byte >> 4], out += "0123456789abcdef"[byte & 15];
  return out;
}

Words split(const std::string& line) {
  std::istringstream in(line);
  return {std::istream_iterator<std::string>(in), {}};
}

Bytes incoming(const Words& words, pipeline::Side side, Variables& variables) {
  const auto at = static_cast<size_t>(side);
  return Builder(words, variables, nullptr).frame(our_macs[at], gateway_macs[at], side);
}

Bytes quoted(const Words& words, Variables& variables) { return Builder(words, variables, nullptr).quoted(); }

Bytes outgoing(const Words& words, pipeline::Side side, Variables& variables, const Bytes& actual) {
  const auto at = static_cast<size_t>(side);
  return Builder(words, variables, &actual).frame(gateway_macs[at], our_macs[at], side);
}

}  // namespace portolan::packets
