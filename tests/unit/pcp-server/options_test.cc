// Options: structure before content, each in order of appearance, the first fault is the answer.
#include "pcp-server/options.h"

#include <gtest/gtest.h>

#include "tests/unit/pcp-server/fixture.h"

namespace portolan::pcp::test {
namespace {

const Message host = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 9};

Message bytes_of(std::initializer_list<std::pair<uint8_t, Message>> options) {
  Message out;
  for (const auto& [code, data] : options) add_option(out, code, data);
  return out;
}

struct Row {
  const char* name;
  Message bytes;
  net::Result<Options, Code> expected;
};

const Options none;
const Options third_party{as_mapped("10.0.0.9"), false};
const Options prefer_failure{std::nullopt, true};

Message filter(uint8_t length) {
  return {0xff, length, 4, 210, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 203, 0, 113, 5};
}
FilterBody filter_body(uint8_t length) { return {0xff, length, port(1234), as_mapped("203.0.113.5")}; }
Options with_filters(std::vector<FilterBody> filters) {
  Options out;
  out.filters = std::move(filters);
  return out;
}
Options with_text(std::string text) {
  Options out;
  out.description = std::move(text);
  return out;
}
Options with_set(PortSetBody set) {
  Options out;
  out.port_set = set;
  return out;
}

tl::unexpected<Code> fault(Code code) { return tl::unexpected(code); }

// Shows PCP-022, PCP-090, PCP-091, PCP-092, PCP-093, PCP-094, PCP-095, PCP-096, PCP-097, PCP-115.
TEST(PcpOptions, rows_of_a_MAP) {
  const Row rows[] = {
      {"none", {}, none},
      {"PCP-100 THIRD_PARTY", bytes_of({{1, host}}), third_party},
      {"PCP-093 zero length is legal", bytes_of({{2, {}}}), prefer_failure},
      {"both", bytes_of({{2, {}}, {1, host}}), Options{as_mapped("10.0.0.9"), true}},
      {"PCP-097 optional is ignored", bytes_of({{200, {1, 2, 3}}}), none},
      {"PCP-092 padding is not counted", bytes_of({{200, {1, 2, 3, 4, 5}}, {1, host}}), third_party},
      {"PCP-091 length past the end", {200, 0, 0, 1}, fault(Code::malformed_option)},
      {"PCP-091 length 0xffff", {1, 0, 0xff, 0xff, 0, 0, 0, 0}, fault(Code::malformed_option)},
      {"PCP-091 cut header", {2, 0}, fault(Code::malformed_option)},
      {"PCP-091 padding past the end", {200, 0, 0, 1, 0xaa}, fault(Code::malformed_option)},
      {"PCP-094 THIRD_PARTY twice", bytes_of({{1, host}, {1, host}}), fault(Code::malformed_option)},
      {"PCP-094 PREFER_FAILURE twice", bytes_of({{2, {}}, {2, {}}}), fault(Code::malformed_option)},
      {"PCP-095 unknown mandatory", bytes_of({{64, {}}}), fault(Code::unsupp_option)},
      {"PCP-095 unknown mandatory, the last", bytes_of({{127, {}}}), fault(Code::unsupp_option)},
      {"PCP-095 code 0", bytes_of({{0, {}}}), fault(Code::unsupp_option)},
      {"PCP-110 FILTER of length 0", bytes_of({{3, Message(20)}}), with_filters({{}})},
      {"PCP-096 FILTER of 16", bytes_of({{3, Message(16)}}), fault(Code::malformed_option)},
      {"PCP-109 FILTER /95", bytes_of({{3, filter(95)}}), fault(Code::malformed_option)},
      {"PCP-109 FILTER /129", bytes_of({{3, filter(129)}}), fault(Code::malformed_option)},
      {"PCP-109 FILTER /96 and /128", bytes_of({{3, filter(96)}, {3, filter(128)}}),
       with_filters({filter_body(96), filter_body(128)})},
      {"FILTER of an IPv6 remote", bytes_of({{3, {0, 64, 0, 0, 0x20, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}}),
       fault(Code::malformed_option)},
      {"PCX-001 PORT_SET", bytes_of({{130, {0, 16, 0x13, 0x88, 1}}}), with_set({16, port(5000), 1})},
      {"PCX-002 PORT_SET of none", bytes_of({{130, {0, 0, 0x13, 0x88, 0}}}), fault(Code::malformed_option)},
      {"PCP-094 PORT_SET twice", bytes_of({{130, {0, 1, 0, 9, 0}}, {130, {0, 1, 0, 9, 0}}}),
       fault(Code::malformed_option)},
      {"PORT_SET of 4", bytes_of({{130, {0, 1, 0, 9}}}), fault(Code::malformed_option)},
      {"PCX-020 DESCRIPTION", bytes_of({{128, {'w', 'e', 'b'}}}), with_text("web")},
      {"PCX-022 DESCRIPTION, no UTF-8", bytes_of({{128, {0xc0, 0x80}}}), none},
      {"PCX-023 DESCRIPTION, empty", bytes_of({{128, {}}}), with_text("")},
      {"PCP-094 DESCRIPTION twice", bytes_of({{128, {}}, {128, {}}}), fault(Code::malformed_option)},
      {"DESCRIPTION of 1017", bytes_of({{128, Message(1017, 'x')}}), fault(Code::malformed_option)},
      {"PCX-031 PREFIX64 is ignored", bytes_of({{129, {0, 12}}}), none},
      {"PCX-050 NONCE of RFC 7652", bytes_of({{4, {1, 2, 3, 4}}}), fault(Code::unsupp_option)},
      {"PCP-096 THIRD_PARTY of 4", bytes_of({{1, {1, 2, 3, 4}}}), fault(Code::malformed_option)},
      {"PCP-096 THIRD_PARTY of 20", bytes_of({{1, Message(20)}}), fault(Code::malformed_option)},
      {"PCP-096 PREFER_FAILURE of 4", bytes_of({{2, {1, 2, 3, 4}}}), fault(Code::malformed_option)},
      {"PCP-022 unsupported first", bytes_of({{64, {}}, {1, {1}}}), fault(Code::unsupp_option)},
      {"PCP-022 malformed first", bytes_of({{1, {1}}, {64, {}}}), fault(Code::malformed_option)},
      {"PCP-022 structure before all", {64, 0, 0, 0, 1, 0, 0, 99}, fault(Code::malformed_option)},
  };
  for (const Row& row : rows) EXPECT_EQ(parse_options(net::Reader{row.bytes}, Opcode::map), row.expected) << row.name;
}

TEST(PcpOptions, PCP_099_ANNOUNCE_takes_none) {
  const Row rows[] = {{"THIRD_PARTY", bytes_of({{1, host}}), fault(Code::unsupp_option)},
                      {"PREFER_FAILURE", bytes_of({{2, {}}}), fault(Code::unsupp_option)},
                      {"optional", bytes_of({{200, {}}}), none}};
  for (const Row& row : rows)
    EXPECT_EQ(parse_options(net::Reader{row.bytes}, Opcode::announce), row.expected) << row.name;
}

// Shows PCP-077, PCP-078.
TEST(PcpOptions, rows_of_a_PEER) {
  const Row rows[] = {{"THIRD_PARTY", bytes_of({{1, host}}), third_party},
                      {"PCP-077 PREFER_FAILURE", bytes_of({{2, {}}}), fault(Code::malformed_request)},
                      {"PCP-078 FILTER", bytes_of({{3, Message(20)}}), fault(Code::malformed_option)},
                      {"PORT_SET is MAP's", bytes_of({{130, {0, 16, 0x13, 0x88, 1}}}), none},
                      {"DESCRIPTION", bytes_of({{128, {'a'}}}), with_text("a")}};
  for (const Row& row : rows) EXPECT_EQ(parse_options(net::Reader{row.bytes}, Opcode::peer), row.expected) << row.name;
}

TEST(PcpOptions, PCX_021_text_is_cut_between_characters) {
  EXPECT_EQ(cut_utf8("abc", 3), "abc");
  EXPECT_EQ(cut_utf8("abcd", 3), "abc");
  EXPECT_EQ(cut_utf8("ab\xe2\x82\xac", 5), "ab\xe2\x82\xac");
  EXPECT_EQ(cut_utf8("ab\xe2\x82\xac", 4), "ab");
  EXPECT_EQ(cut_utf8("ab\xe2\x82\xac", 3), "ab");
  EXPECT_EQ(cut_utf8("\xe2\x82\xac", 0), "");
}

TEST(PcpOptions, PCX_022_what_is_UTF_8) {
  const auto is_taken = [](Message text) {
    const Message bytes = bytes_of({{128, std::move(text)}});
    return parse_options(net::Reader{bytes}, Opcode::map)->description.has_value();
  };
  EXPECT_TRUE(is_taken({0xf4, 0x8f, 0xbf, 0xbf, 0xe0, 0xa0, 0x80, 0xc2, 0x80, 'a'}));
  for (const Message& bad : {Message{0xc1, 0x80},
                             {0xe0, 0x9f, 0x80},
                             {0xed, 0xa0, 0x80},
                             {0xf0, 0x8f, 0x80, 0x80},
                             {0xf4, 0x90, 0x80, 0x80},
                             {0xf5, 0x80, 0x80, 0x80},
                             {0xe2, 0x82},
                             {0x80},
                             {0xc2, 0x41}})
    EXPECT_FALSE(is_taken(bad));
}

TEST(PcpOptions, what_is_appended_parses_again) {
  Options options{as_mapped("10.0.0.9"), true};
  options.filters = {{0, 120, port(0), as_mapped("203.0.113.0")}, {}};
  options.description = "web";
  options.subscriber_id = {1, 2, 3};
  options.port_set = PortSetBody{4, port(5000), 1};
  Message message;
  append_options(message, options);
  EXPECT_EQ(parse_options(net::Reader{message}, Opcode::map), options);
}

}  // namespace
}  // namespace portolan::pcp::test
