#include "controlplane/translator.h"

#include <utility>

#include "dataplane/nat/pool.h"

namespace portolan::control {

bool Translator::submit(nat::Command command, Done done) {
  return submit_to(owner_(command.key.subscriber), command, std::move(done));
}

bool Translator::submit_to(unsigned worker, nat::Command command, Done done) {
  command.ticket = ++ticket_;
  if (!dataplane_.submit(worker, command)) return false;
  waiting_.emplace(command.ticket, std::move(done));
  return true;
}

size_t Translator::poll() {
  return dataplane_.poll_results([this](unsigned, const nat::CommandResult& result) {
    const auto waiting = waiting_.extract(result.ticket);
    if (waiting) waiting.mapped()(result);
  });
}

}  // namespace portolan::control
