// A whole dataplane between capture files. EAL starts once per process, so every test's body runs in a child of its
// own.
#pragma once

#include <filesystem>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <vector>

#include "capture.h"
#include "dataplane/io/dataplane.h"

namespace portolan::io::test {

// Runs `body` in a child process; its failures are this test's.
void in_child(const std::function<void()>& body);

class Folder {  // for this object's life
  std::filesystem::path path_;

 public:
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::string operator/(const std::string& name) const { return (path_ / name).string(); }
};

struct Bench {  // as the control plane would: shards, configuration, dataplane
  unsigned workers = 1;
  Folder folder;
  Clock clock;
  std::unique_ptr<pipeline::Snapshot> snapshot;
  pipeline::Gateways gateways;
  std::vector<std::unique_ptr<nat::Shard>> shards;
  std::unique_ptr<Dataplane> dataplane;

  explicit Bench(unsigned workers_count);

  // Frames to receive on each queue of the side; frames sent through queue q end up in sent(side, q).
  std::string capture_device(pipeline::Side side, const std::vector<std::vector<Frame>>& queues, bool for_ever = false,
                             unsigned transmit_queues = 1);
  [[nodiscard]] std::vector<Frame> sent(pipeline::Side side, unsigned transmit_queues = 1) const;

  void open(const std::string& access, const std::string& internet);
  void run();

  // Of all workers together.
  [[nodiscard]] uint64_t total(const std::function<uint64_t(const pipeline::WorkerCounters&)>& value) const;
  [[nodiscard]] uint64_t received() const;
  [[nodiscard]] uint64_t sent_packets() const;
  [[nodiscard]] uint64_t punted() const;
  [[nodiscard]] uint64_t handed_out() const;
  [[nodiscard]] uint64_t dropped() const;
  [[nodiscard]] uint64_t dropped(nat::Verdict verdict) const;
  // What came in less what went out (pipeline/counters.h): what still lies in rings.
  [[nodiscard]] int64_t on_their_way() const;
};

// Until the condition holds; a failure if it does not within half a minute.
void wait_until(const std::function<bool()>& condition, const char* what);

}  // namespace portolan::io::test
