#include "controlplane/reply.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace portolan::control {
namespace {

std::string output_of(const Reply& reply) {
  std::string out;
  while (reply.output(out)) {
  }
  return out;
}

std::vector<Row> some_rows() {
  return {{std::string("192.0.2.1"), uint64_t{7}, true, std::monostate{}},
          {std::string("192.0.2.100"), uint64_t{12345}, false, 0.5}};
}
const std::vector<Column> columns = {{"address"}, {"ports", true}, {"up"}, {"load", true}};

TEST(TableReply, text_is_aligned_under_the_names) {
  EXPECT_EQ(output_of(table_reply({}, columns, some_rows())),
            "address      ports  up   load\n"
            "192.0.2.1        7  yes     -\n"
            "192.0.2.100  12345  no    0.5\n");
}

TEST(TableReply, json_is_the_same_rows_with_types) {
  const auto json = nlohmann::json::parse(output_of(table_reply({.json = true}, columns, some_rows())));
  EXPECT_EQ(json, nlohmann::json::parse(R"([{"address":"192.0.2.1","ports":7,"up":true,"load":null},
                                            {"address":"192.0.2.100","ports":12345,"up":false,"load":0.5}])"));
}

TEST(TableReply, no_rows_are_a_heading_and_an_empty_array) {
  EXPECT_EQ(output_of(table_reply({}, {{"a"}, {"b"}}, std::vector<Row>{})), "a  b\n");
  EXPECT_EQ(nlohmann::json::parse(output_of(table_reply({.json = true}, {{"a"}}, std::vector<Row>{}))),
            nlohmann::json::array());
}

TEST(TableReply, hostile_text_stays_json) {
  const std::string hostile = "a\"b\\c\n\x1b[31m\xff";
  const auto json =
      nlohmann::json::parse(output_of(table_reply({.json = true}, {{"name"}}, std::vector<Row>{{hostile}})));
  EXPECT_EQ(json[0]["name"], "a\"b\\c\n\x1b[31m\xEF\xBF\xBD");
}

TEST(TableReply, a_chunk_is_bounded_however_many_rows_there_are) {
  for (const bool json : {false, true}) {
    uint64_t made = 0;
    constexpr uint64_t rows = 100'000;
    const auto reply = table_reply({.json = json}, {{"n", true}, {"text"}}, [&](Row& row) {
      if (made == rows) return Step::end;
      row = {++made, std::string(50, 'x')};
      return Step::row;
    });
    uint64_t lines = 0;
    size_t largest = 0;
    bool more = true;
    while (more) {
      std::string chunk;
      more = reply.output(chunk);
      largest = std::max(largest, chunk.size());
      lines += static_cast<uint64_t>(std::ranges::count(chunk, '\n'));
      ASSERT_TRUE(chunk.empty() || chunk.back() == '\n');
    }
    EXPECT_EQ(lines, rows + (json ? 2 : 1));
    EXPECT_LT(largest, 32'768U);
  }
}

TEST(TableReply, a_search_that_pauses_is_asked_again) {
  int asked = 0;
  const auto reply = table_reply({}, {{"n"}}, [&](Row& row) {
    if (++asked == 3) {
      row = {uint64_t{42}};
      return Step::row;
    }
    return asked < 5 ? Step::pause : Step::end;
  });
  std::string chunk;
  EXPECT_TRUE(reply.output(chunk));
  EXPECT_EQ(chunk, "");
  EXPECT_EQ(output_of(reply), "n\n42\n");
}

TEST(RecordReply, text_and_json_come_from_one_source) {
  const std::vector<std::pair<std::string, Cell>> fields = {{"version", std::string("0.1")}, {"uptime_s", uint64_t{5}}};
  EXPECT_EQ(output_of(record_reply({}, fields)), "version   0.1\nuptime_s  5\n");
  EXPECT_EQ(nlohmann::json::parse(output_of(record_reply({.json = true}, fields))),
            nlohmann::json::parse(R"({"version":"0.1","uptime_s":5})"));
}

}  // namespace
}  // namespace portolan::control
