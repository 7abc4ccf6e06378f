#include "controlplane/command.h"

#include <algorithm>
#include <cassert>

namespace portolan::control {

namespace {

std::vector<std::string_view> words_of(std::string_view line) {
  constexpr std::string_view space = " \t\r\n";
  std::vector<std::string_view> words;
  while (true) {
    const auto first = line.find_first_not_of(space);
    if (first == line.npos) return words;
    line.remove_prefix(first);
    const auto length = std::min(line.find_first_of(space), line.size());
    words.push_back(line.substr(0, length));
    line.remove_prefix(length);
  }
}

struct Candidate {
  const Command* command;
  std::vector<std::string_view> words;  // of its name
};

// Narrows the candidates by one word. A whole word beats a longer one it begins.
std::vector<Candidate> narrowed(const std::vector<Candidate>& from, size_t at, std::string_view word) {
  std::vector<Candidate> out;
  for (const auto& candidate : from)
    if (at < candidate.words.size() && candidate.words[at].starts_with(word)) out.push_back(candidate);
  const auto is_whole = [&](const Candidate& candidate) { return candidate.words[at] == word; };
  if (std::ranges::any_of(out, is_whole)) std::erase_if(out, std::not_fn(is_whole));
  return out;
}

std::vector<Candidate> all_candidates(std::span<const Command> commands) {
  std::vector<Candidate> out;
  for (const auto& command : commands) out.push_back({&command, words_of(command.name)});
  return out;
}

std::string name_list(const std::vector<Candidate>& candidates) {
  std::string out;
  for (const auto& candidate : candidates) out += (out.empty() ? "" : ", ") + std::string(candidate.command->name);
  return out;
}

std::string quoted(std::string_view word) {
  constexpr size_t shown_max = 64;
  return '"' + std::string(word.substr(0, shown_max)) + (word.size() > shown_max ? "…\"" : "\"");
}

struct Match {
  const Command* command = nullptr;
  size_t words = 0;  // that were the name
  Reply problem;     // if there is no command
};

Match match(std::span<const Command> commands, const std::vector<std::string_view>& words) {
  auto candidates = all_candidates(commands);
  for (size_t at = 0; at <= words.size(); ++at) {
    const auto complete = std::ranges::find_if(candidates, [&](const auto& each) { return each.words.size() == at; });
    auto longer = at < words.size() ? narrowed(candidates, at, words[at]) : std::vector<Candidate>{};
    if (longer.empty() && complete != candidates.end()) {
      // Complete, but perhaps by words that also begin other commands.
      const bool unique = std::ranges::all_of(candidates, [&](const auto& each) {
        return std::ranges::equal(std::span(each.words).first(at), complete->words);
      });
      if (unique) return {complete->command, at, {}};
      return {nullptr, 0, error_reply(Code::ambiguous_command, "ambiguous: " + name_list(candidates))};
    }
    if (at == words.size())
      return {nullptr, 0, error_reply(Code::incomplete_command, "incomplete; one of: " + name_list(candidates))};
    if (longer.empty()) {
      const auto hint = at == 0 ? "\"help\" lists the commands" : "one of: " + name_list(candidates);
      return {nullptr, 0, error_reply(Code::unknown_command, quoted(words[at]) + " is not a command; " + hint)};
    }
    candidates = std::move(longer);
  }
  return {};
}

}  // namespace

void CommandTable::add(Command command) {
  const auto at = std::ranges::lower_bound(commands_, command.name, {}, &Command::name);
  assert(at == commands_.end() || at->name != command.name);
  commands_.insert(at, std::move(command));
}

std::vector<const Command*> CommandTable::matching(std::span<const std::string_view> words) const {
  auto candidates = all_candidates(commands_);
  for (size_t at = 0; at < words.size(); ++at) candidates = narrowed(candidates, at, words[at]);
  std::vector<const Command*> out;
  for (const auto& candidate : candidates) out.push_back(candidate.command);
  return out;
}

Reply CommandTable::run(std::string_view line, Access access) const {
  Request request;
  request.args = words_of(line);
  if (!request.args.empty() && request.args.front() == request_json) {
    request.json = true;
    request.args.erase(request.args.begin());
  }
  auto [command, words, problem] = match(commands_, request.args);
  if (command == nullptr) return std::move(problem);
  request.args.erase(request.args.begin(), request.args.begin() + static_cast<ptrdiff_t>(words));
  if (command->args.empty() && !request.args.empty())
    return usage_reply(*command, "takes no arguments, not " + quoted(request.args.front()));
  if (command->access == Access::change && access == Access::view)
    return error_reply(Code::not_permitted, '"' + std::string(command->name) + "\" changes state; run it as root");
  return command->run(request);
}

Reply usage_reply(const Command& command, const std::string& problem) {
  const auto usage = std::string(command.name) + (command.args.empty() ? "" : " " + std::string(command.args));
  return error_reply(Code::bad_argument, problem + "; usage: " + usage);
}

}  // namespace portolan::control
