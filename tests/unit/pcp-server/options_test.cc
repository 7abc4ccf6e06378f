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
      {"PCP-115 FILTER is never promised", bytes_of({{3, Message(20)}}), fault(Code::unsupp_option)},
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

TEST(PcpOptions, what_is_appended_parses_again) {
  const Options options{as_mapped("10.0.0.9"), true};
  Message message;
  append_options(message, options);
  EXPECT_EQ(parse_options(net::Reader{message}, Opcode::map), options);
}

}  // namespace
}  // namespace portolan::pcp::test
