// The command line of portolan-bench.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench/generator/tester.h"

namespace portolan::bench {

struct Options {
  Dut dut = Dut::dslite;
  std::string dut_name;
  std::vector<std::string> devices;  // DPDK's devargs: access, internet
  std::string eal;
  unsigned core = 0;
  uint16_t descriptors = 1024;  // slots of a link's ring
  std::vector<uint32_t> mappings;
  std::vector<size_t> frame_bytes;
  std::vector<std::string> directions;
  std::vector<std::string> measurements;
  uint32_t flows_per_subscriber = 256, hosts_per_subscriber = 4;
  double seconds = 2, open_rate = 0;
  double load = 0.5;              // share of the saturated throughput, where a measurement has less
  double loss = 0.001;            // of new mappings that may be lost, in new-rate's second search
  unsigned repetitions = 3;       // of back-to-back's search
  uint32_t expiring = 1'000'000;  // mappings that expire at once
  double idle_timeout_s = 120;    // after which they do
  double abuse_pps = 1e6;
  std::string cli_socket;            // of the device, to read all its mappings from
  std::vector<double> fresh_shares;  // of the frames from subscribers that open mappings
  uint32_t fresh_max = 0;            // flows kept for them
  double new_rate_max = 0;
  std::string clear_command, rested_command;
  unsigned patience_s = 30;
};

// Nothing if --help was asked for, and answered. Throws std::invalid_argument or Boost.Program_options' errors.
std::optional<Options> parse_options(int argc, char** argv);

}  // namespace portolan::bench
