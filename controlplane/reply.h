// What a command answers, and the protocol of the command line's socket. No state.
//
// A request is one line:   [json] WORD WORD …\n          at most request_bytes_max with its newline
// A reply is lines, each   CODE-text\n  or  CODE text\n
// where CODE is four digits; '-' says that more lines follow, ' ' that this is the reply's last. As in BIRD, the code
// is what scripts may rely on: 1000 is a line of output, 0000 done, 8xxx an error at run time, 9xxx a request not
// understood. After `json`, the text of the 1000 lines together is one JSON document. Requests may be sent ahead; they
// are answered in order, one at a time. What a client does not read is not made: output is generated as the socket
// takes it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace portolan::control {

inline constexpr size_t request_bytes_max = 4096;
inline constexpr std::string_view request_json = "json";  // the first word of a request for JSON

enum class Code : uint16_t {
  done = 0,
  output = 1000,
  failed = 8000,  // the command was understood and could not be done
  too_many_clients = 8001,
  not_permitted = 8002,
  not_found = 8003,  // what the command names does not exist
  unknown_command = 9000,
  ambiguous_command = 9001,
  incomplete_command = 9002,
  bad_argument = 9003,
  line_too_long = 9004,
};
constexpr bool is_runtime_error(Code code) { return static_cast<unsigned>(code) / 1000 == 8; }
constexpr bool is_parse_error(Code code) { return static_cast<unsigned>(code) / 1000 == 9; }

// Appends whole lines to `chunk`, a few KiB at most; false when there is no more. True with nothing appended means
// "not yet": it is asked again after other work of the thread.
using Generator = std::function<bool(std::string& chunk)>;

struct Reply {
  Code code = Code::done;
  std::string text = {};  // of the last line
  Generator output = {};  // the lines before it; may be empty
  // Code and text of the last line where they are known only when the output has been made.
  std::function<std::pair<Code, std::string>()> ending = {};
};

struct Request {
  bool json = false;
  std::vector<std::string_view> args = {};  // the words after the command's name; valid while the command is started
};

// -- one source for text and JSON --

using Cell = std::variant<std::monostate, bool, int64_t, uint64_t, double, std::string>;  // monostate: "-", null
struct Column {
  std::string_view name;  // text heading and JSON name: snake_case, unit last
  bool right_aligned = false;
  size_t width = 0;  // least width; wider cells of the first rows widen it
};
using Row = std::vector<Cell>;  // one cell a column

enum class Step : uint8_t {
  row,    // the row was filled
  pause,  // none yet: a long search gives way to other work
  end,
};
using RowSource = std::function<Step(Row&)>;

// Text: columns aligned under their names. JSON: an array of objects, one a line.
Reply table_reply(const Request& request, std::vector<Column> columns, RowSource next);
Reply table_reply(const Request& request, std::vector<Column> columns, std::vector<Row> rows);
// Text: name and value a line. JSON: an object.
Reply record_reply(const Request& request, std::vector<std::pair<std::string, Cell>> fields);
Reply text_reply(std::string text);  // "done" with words for people
Reply error_reply(Code code, std::string text);

}  // namespace portolan::control
