#include "controlplane/reply.h"

#include <algorithm>
#include <cassert>
#include <memory>
#include <nlohmann/json.hpp>

namespace portolan::control {

namespace {

constexpr size_t chunk_bytes = 8192;   // a chunk ends with the row that reaches this
constexpr size_t steps_max = 1024;     // or after so many steps: a search must not hold the control thread
constexpr size_t widening_rows = 128;  // rows looked at before the first is written, to learn the widths

template <class... Functions>
struct Overloaded : Functions... {
  using Functions::operator()...;
};
template <class... Functions>
Overloaded(Functions...) -> Overloaded<Functions...>;  // clang 14 cannot deduce aggregates

nlohmann::json json_of(const Cell& cell) {
  return std::visit(Overloaded{[](std::monostate) { return nlohmann::json(nullptr); },
                               [](const auto& value) { return nlohmann::json(value); }},
                    cell);
}

std::string json_text(const nlohmann::json& value) {
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string text_of(const Cell& cell) {
  return std::visit(Overloaded{[](std::monostate) { return std::string("-"); },
                               [](bool value) { return std::string(value ? "yes" : "no"); },
                               [](const std::string& value) { return value.empty() ? "-" : value; },
                               [](const auto& value) { return json_text(value); }},
                    cell);
}

class TableWriter {
 public:
  TableWriter(std::vector<Column> columns, RowSource next) : columns_(std::move(columns)), next_(std::move(next)) {}

  bool write_text(std::string& chunk) {
    for (size_t step = 0; step < steps_max && chunk.size() < chunk_bytes; ++step) {
      const Step got = next_(row_);
      assert(got != Step::row || row_.size() == columns_.size());
      if (got == Step::row && !widened_)
        first_rows_.push_back(row_);
      else if (got == Step::row)
        append_text(row_, chunk);
      if (!widened_ && (got == Step::end || first_rows_.size() == widening_rows)) append_first_rows(chunk);
      if (got != Step::row) return got != Step::end;
    }
    return true;
  }

  bool write_json(std::string& chunk) {
    if (!std::exchange(opened_, true)) chunk += "[\n";
    for (size_t step = 0; step < steps_max && chunk.size() < chunk_bytes; ++step) {
      const Step got = next_(row_);
      if (got == Step::end) chunk += "]\n";
      if (got != Step::row) return got != Step::end;
      append_json(chunk);
    }
    return true;
  }

 private:
  void append_first_rows(std::string& chunk) {
    Row names;
    for (auto& column : columns_) names.emplace_back(std::string(column.name));
    for (size_t at = 0; at < columns_.size(); ++at) {
      auto& width = columns_[at].width;
      width = std::max(width, columns_[at].name.size());
      for (const auto& row : first_rows_) width = std::max(width, text_of(row[at]).size());
    }
    append_text(names, chunk);
    for (const auto& row : first_rows_) append_text(row, chunk);
    first_rows_ = {};
    widened_ = true;
  }

  void append_text(const Row& row, std::string& chunk) {
    for (size_t at = 0; at < columns_.size(); ++at) {
      const auto text = text_of(row[at]);
      const size_t fill = columns_[at].width - std::min(columns_[at].width, text.size());
      const bool last = at + 1 == columns_.size();
      if (columns_[at].right_aligned) chunk.append(fill, ' ');
      chunk += text;
      if (!columns_[at].right_aligned && !last) chunk.append(fill, ' ');
      chunk += last ? "\n" : "  ";
    }
  }

  // Written by hand: a JSON object would sort the names, and the columns' order is the order of importance.
  void append_json(std::string& chunk) {
    assert(row_.size() == columns_.size());
    chunk += std::exchange(has_rows_, true) ? ",{" : " {";  // in front, so that every line is whole when it is written
    for (size_t at = 0; at < columns_.size(); ++at)
      chunk += (at == 0 ? "" : ",") + json_text(columns_[at].name) + ':' + json_text(json_of(row_[at]));
    chunk += "}\n";
  }

  std::vector<Column> columns_;
  RowSource next_;
  Row row_;
  std::vector<Row> first_rows_;
  bool widened_ = false;                    // text
  bool opened_ = false, has_rows_ = false;  // JSON
};

}  // namespace

Reply table_reply(const Request& request, std::vector<Column> columns, RowSource next) {
  auto writer = std::make_shared<TableWriter>(std::move(columns), std::move(next));
  return {.output = [writer, json = request.json](std::string& chunk) {
    return json ? writer->write_json(chunk) : writer->write_text(chunk);
  }};
}

Reply table_reply(const Request& request, std::vector<Column> columns, std::vector<Row> rows) {
  return table_reply(request, std::move(columns), [rows = std::move(rows), at = size_t{0}](Row& row) mutable {
    if (at == rows.size()) return Step::end;
    row = std::move(rows[at++]);
    return Step::row;
  });
}

Reply record_reply(const Request& request, std::vector<std::pair<std::string, Cell>> fields) {
  std::string out;
  if (request.json) {
    nlohmann::ordered_json object = nlohmann::ordered_json::object();
    for (const auto& [name, value] : fields) object[name] = json_of(value);
    out = object.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
  } else {
    size_t width = 0;
    for (const auto& field : fields) width = std::max(width, field.first.size());
    for (const auto& [name, value] : fields)
      out += name + std::string(width - name.size() + 2, ' ') + text_of(value) + '\n';
  }
  return {.output = [out = std::move(out)](std::string& chunk) {
    chunk += out;
    return false;
  }};
}

Reply text_reply(std::string text) { return {.text = std::move(text)}; }
Reply error_reply(Code code, std::string text) { return {.code = code, .text = std::move(text)}; }

}  // namespace portolan::control
