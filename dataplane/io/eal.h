// DPDK's environment layer: one per process, started once, with arguments made from the machine and the configuration
// so that nobody has to write any. Owner: the control thread, which becomes EAL's main lcore.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/net/result.h"

namespace portolan::io {

using Log = std::function<void(std::string_view line)>;  // called from any thread

struct EalSettings {
  std::string options;  // the operator's, after ours; memory options among them replace ours
  unsigned workers = 1;
  std::vector<unsigned> cores;           // one per worker; empty: workers float
  std::vector<std::string> pci_devices;  // devargs; empty: PCI is left alone
  uint64_t memory_bytes = 0;             // what the buffers will take at most
};

struct Machine {
  std::vector<unsigned> cpus;  // this process may use
  uint64_t huge_bytes_free = 0;

  static Machine look();
};

struct EalPlan {
  std::vector<std::string> arguments;  // without the program's name
  std::string memory;                  // what was chosen, for the log
};

// Worker w runs on lcore w + 1; lcore 0 is the main one.
net::Result<EalPlan, std::string> plan_eal(const EalSettings& settings, const Machine& machine);

class Eal {
 public:
  // The error ends with EAL's own words.
  static net::Result<std::unique_ptr<Eal>, std::string> start(const EalPlan& plan, Log log);
  ~Eal();
  Eal(const Eal&) = delete;
  Eal& operator=(const Eal&) = delete;

  // What DPDK logged since it was taken or forgotten: the only place where a driver says why it failed.
  [[nodiscard]] static std::string take_words();
  static void forget_words();

 private:
  Eal() = default;
};

}  // namespace portolan::io
