#include "controlplane/config_file.h"

#include <algorithm>
#include <array>
#include <boost/program_options/options_description.hpp>
#include <boost/program_options/parsers.hpp>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <numeric>
#include <optional>
#include <sstream>

#include "controlplane/config_check.h"
#include "controlplane/setting.h"

namespace portolan::control {

namespace {

constexpr size_t file_bytes_max = 1 << 20;
constexpr size_t errors_max = 100;  // a file of something else would report every line

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view space = " \t\r";
  const auto first = text.find_first_not_of(space);
  return first == text.npos ? std::string_view{} : text.substr(first, text.find_last_not_of(space) - first + 1);
}

size_t edit_distance(std::string_view a, std::string_view b) {  // Levenshtein, one row at a time
  std::vector<size_t> distances(b.size() + 1);
  std::iota(distances.begin(), distances.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(distances[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = distances[j + 1];
      distances[j + 1] = std::min({replaced, distances[j] + 1, diagonal + 1});
    }
  }
  return distances.back();
}

// The row whose text is nearest, if it is near enough to be what was meant.
template <class Row, class Text>
const Row* nearest(std::span<const Row> rows, std::string_view wanted, Text text) {
  const Row* best = nullptr;
  size_t best_distance = std::max<size_t>(2, wanted.size() / 3) + 1;
  if (wanted.size() > 64) return nullptr;
  for (const auto& row : rows)
    if (const size_t distance = edit_distance(wanted, text(row)); distance < best_distance) {
      best = &row;
      best_distance = distance;
    }
  return best;
}

const Setting* nearest_setting(std::string_view section, std::string_view key) {
  std::vector<Setting> own;
  std::ranges::copy_if(settings(), std::back_inserter(own),
                       [&](const Setting& setting) { return setting.section == section; });
  const auto key_of = [](const Setting& setting) { return setting.key; };
  if (const auto* near = nearest<Setting>(own, key, key_of)) return find_setting(section, near->key);
  return nearest<Setting>(settings(), key, key_of);
}

std::string section_list() {
  std::string out;
  for (const auto& section : sections()) out += (out.empty() ? "[" : " [") + std::string(section.name) + ']';
  return out;
}

std::string key_list(std::string_view section) {
  std::string out;
  for (const auto& setting : settings())
    if (setting.section == section) out += (out.empty() ? "" : ", ") + std::string(setting.key);
  return out;
}

class FileReader {
 public:
  explicit FileReader(std::string_view file) : file_(file) {}

  ConfigResult read(std::string_view text) {
    if (text.size() > file_bytes_max) {
      fail(0, "", "is larger than " + std::to_string(file_bytes_max) + " bytes, so it is no configuration file");
      return finish();
    }
    while (!text.empty() && errors_.size() < errors_max) {
      const auto end = std::min(text.find('\n'), text.size());
      ++line_;
      take_line(text.substr(0, end));
      text.remove_prefix(std::min(end + 1, text.size()));
    }
    check();
    return finish();
  }

 private:
  struct Seen {
    uint32_t first_line = 0;      // 0: nowhere
    std::vector<uint32_t> lines;  // one a value taken
    bool broken = false;          // what it was given says nothing
  };

  void fail(uint32_t line, std::string name, std::string text) {
    errors_.push_back({std::string(file_), line, std::move(name), std::move(text)});
  }

  void take_line(std::string_view line) {
    line = trimmed(line.substr(0, line.find('#')));
    if (line.empty()) return;
    if (std::ranges::any_of(line, [](char c) { return static_cast<unsigned char>(c) < ' ' && c != '\t'; }))
      return fail(line_, "", "has a control character; remove it");
    if (line.front() == '[') return take_section(line);
    // The library's parser gives no line numbers, so it gets one line at a time.
    namespace po = boost::program_options;
    std::istringstream in{std::string(line)};
    try {
      for (const auto& option : po::parse_config_file(in, po::options_description(), true).options)
        take_value(option.string_key, option.value.empty() ? "" : option.value.front());
    } catch (const po::error&) {
      fail(line_, "", '"' + std::string(line) + "\" is neither a [section] nor key = value");
    }
  }

  void take_section(std::string_view line) {
    const auto name = line.back() == ']' ? trimmed(line.substr(1, line.size() - 2)) : std::string_view{};
    const auto known = std::ranges::find(sections(), name, &Section::name);
    if (known != sections().end()) {
      section_ = known->name;
      section_lines_.try_emplace(section_, line_);
      return;
    }
    const auto* near = nearest<Section>(sections(), name, [](const Section& section) { return section.name; });
    fail(line_, "",
         std::string(line) + " is not a section; " +
             (near ? "did you mean [" + std::string(near->name) + "]?" : "give one of " + section_list()));
    // Read on as if it had been written right, so that its keys are checked and not reported as missing.
    section_ = near ? near->name : unknown_section;
    if (near) section_lines_.try_emplace(section_, line_);
  }

  void take_value(const std::string& key, const std::string& value) {
    if (section_ == unknown_section) return;
    if (section_.empty()) return fail(line_, key, "stands before the first [section]; give one of " + section_list());
    const Setting* setting = find_setting(section_, key);
    if (setting == nullptr) return unknown_key(key);
    Seen& seen = seen_[setting];
    if (!setting->repeatable() && seen.first_line != 0)
      return fail(line_, setting->name(),
                  "is given twice, first on line " + std::to_string(seen.first_line) + "; remove one of the two");
    if (seen.first_line == 0) {
      clear_values(*setting, config_);
      seen.first_line = line_;
    }
    if (setting->repeatable() && value.empty()) return;  // an empty list
    if (auto problem = set_value(*setting, config_, value)) {
      seen.broken = true;
      return fail(line_, setting->name(), std::move(*problem));
    }
    seen.lines.push_back(line_);
  }

  void unknown_key(const std::string& key) {
    const Setting* near = nearest_setting(section_, key);
    if (near && near->section == section_) seen_[near].broken = true;  // it was given, so it is not missing too
    fail(line_, std::string(section_) + '.' + key,
         "is not a key; " + (near ? "did you mean " + near->name() + '?'
                                  : "[" + std::string(section_) + "] has " + key_list(section_)));
  }

  uint32_t line_of(const Setting& setting, size_t at) const {
    if (const auto seen = seen_.find(&setting); seen != seen_.end() && at < seen->second.lines.size())
      return seen->second.lines[at];
    const auto section = section_lines_.find(setting.section);
    return section != section_lines_.end() ? section->second : std::max(line_, 1U);
  }

  void check() {
    const auto seen = [this](const Setting& setting) {
      const auto at = seen_.find(&setting);
      return at == seen_.end() ? Seen{} : at->second;
    };
    const Origin origin{[this](const Setting& setting, size_t at) { return line_of(setting, at); },
                        [&](const Setting& setting) { return !seen(setting).lines.empty(); },
                        [&](const Setting& setting) { return seen(setting).broken; }};
    check_config(config_, origin, [this](const Setting& setting, size_t at, std::string text) {
      fail(line_of(setting, at), setting.name(), std::move(text));
    });
  }

  ConfigResult finish() {
    if (errors_.empty()) return std::move(config_);
    std::ranges::stable_sort(errors_, {}, &ConfigError::line);
    if (errors_.size() >= errors_max) {
      errors_.resize(errors_max);
      fail(errors_.back().line, "", "too many errors, the rest is not shown");
    }
    return tl::unexpected(std::move(errors_));
  }

  static constexpr std::string_view unknown_section = "?";

  std::string_view file_;
  uint32_t line_ = 0;
  std::string_view section_;  // of the rows, or unknown_section; empty before the first
  std::map<std::string_view, uint32_t> section_lines_;
  std::map<const Setting*, Seen> seen_;
  Config config_;
  std::vector<ConfigError> errors_;
};

std::string comment_of(const Setting& setting) {
  std::string out = "# " + std::string(setting.help) + "\n# ";
  std::string defaults;
  for (const auto& value : value_texts(setting, Config{})) defaults += (defaults.empty() ? "" : ", ") + value;
  out += setting.required() ? "Required." : "Default " + (defaults.empty() ? "none" : defaults) + '.';
  if (const auto accepts = accepted(setting); accepts != "text") out += " Accepts " + accepts;
  if (setting.unit == Unit::bytes) out += " bytes";
  if (out.back() != '.') out += '.';
  if (setting.repeatable()) out += " May be repeated.";
  if (!setting.later.empty()) out += " Not in this version: " + std::string(setting.later) + '.';
  return out + "\n";
}

}  // namespace

std::string to_text(const ConfigError& error) {
  return error.file + ':' + (error.line ? std::to_string(error.line) + ':' : "") + ' ' +
         (error.name.empty() ? "" : error.name + ": ") + error.text;
}

ConfigResult parse_config(std::string_view text, std::string_view file) { return FileReader(file).read(text); }

ConfigResult read_config(const std::string& path) {
  const auto unreadable = [&] {
    return tl::unexpected(
        std::vector{ConfigError{path, 0, "", std::string("cannot be read: ") + std::strerror(errno)}});
  };
  std::ifstream in(path, std::ios::binary);
  if (!in) return unreadable();
  std::string text(file_bytes_max + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad()) return unreadable();
  text.resize(static_cast<size_t>(in.gcount()));
  return parse_config(text, path);
}

uint32_t find_line(const std::string& path, std::string_view section, std::string_view key) {
  std::ifstream file(path);
  std::string line, current;
  for (uint32_t number = 1; std::getline(file, line); ++number) {
    const std::string_view text = trimmed(std::string_view(line).substr(0, line.find('#')));
    if (text.starts_with('[') && text.ends_with(']'))
      current = trimmed(text.substr(1, text.size() - 2));
    else if (current == section && trimmed(text.substr(0, text.find('='))) == key)
      return number;
  }
  return 0;
}

std::string print_config(const Config& config) {
  std::string out;
  for (const auto& section : sections()) {
    out += (out.empty() ? "" : "\n") + ("# " + std::string(section.help)) + "\n[" + std::string(section.name) + "]\n";
    for (const auto& setting : settings()) {
      if (setting.section != section.name) continue;
      auto values = value_texts(setting, config);
      std::erase(values, "");
      out += comment_of(setting);
      const bool example = values.empty() && setting.required();
      if (example) values.emplace_back(setting.example);
      for (const auto& value : values) out += std::string(setting.key) + " = " + value + '\n';
      if (values.empty()) out += "#" + std::string(setting.key) + " =\n";
    }
  }
  return out;
}

}  // namespace portolan::control
