// The control thread's end of the workers' command rings: a command goes to the shard that owns its subscriber, and
// what came of it is handed to whoever asked. Owner: the control thread.
#pragma once

#include <cstdint>
#include <functional>
#include <unordered_map>

#include "dataplane/io/dataplane.h"
#include "dataplane/nat/command.h"

namespace portolan::control {

class Translator {
 public:
  using Done = std::function<void(const nat::CommandResult&)>;

  using Owner = std::function<unsigned(const net::Ipv6& subscriber)>;  // the worker he belongs to

  Translator(io::Dataplane& dataplane, Owner owner) : dataplane_(dataplane), owner_(std::move(owner)) {}

  // False if the owner's ring is full; `done` is not called then. The ticket is set here.
  bool submit(nat::Command command, Done done);
  bool submit_to(unsigned worker, nat::Command command, Done done);  // what is no subscriber's
  // Calls back for every result that has come; returns how many.
  size_t poll();
  [[nodiscard]] size_t waiting() const { return waiting_.size(); }

 private:
  io::Dataplane& dataplane_;
  Owner owner_;
  std::unordered_map<uint64_t, Done> waiting_;  // bounded by the rings
  uint64_t ticket_ = 0;
};

}  // namespace portolan::control
