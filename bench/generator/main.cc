// portolan-bench: loads a DS-Lite AFTR, a NAT44 or a plain forwarder from both sides on one core, checks what it does
// and measures how fast it does it (RFC 8219, RFC 9693). bench/README.md tells the rest.
#include <boost/program_options.hpp>
#include <iostream>

#include "bench/generator/options.h"
#include "bench/generator/report.h"

namespace portolan::bench {
namespace {

struct Failed : std::runtime_error {
  using runtime_error::runtime_error;
};

LinkPlan link_of(const std::string& devargs) {
  LinkPlan plan{devargs.substr(0, devargs.find(',')), devargs, true};
  plan.is_virtual = plan.name.find(':') == std::string::npos;
  return plan;
}

void saturate(Tester& tester, const Options& options, Circumstances at) {
  for (const size_t frame_bytes : options.frame_bytes)
    for (const auto& way : options.directions) {
      at.frame_bytes = frame_bytes;
      at.directions = way;
      Trial trial;
      trial.sends = {way != "downstream", way != "upstream"};
      trial.seconds = options.seconds;
      trial.flows = at.mappings;
      trial.frame_bytes = frame_bytes;
      const auto result = tester.run(trial);
      report_saturated(at, result);
      if (wrong(result.faults) != 0) throw Failed("frames came back wrong");
    }
}

void verify(Tester& tester, const Circumstances& at) {
  const auto result = tester.verify(at.mappings, 0, at.frame_bytes);
  report_verify(at, result);
  if (result.right != result.sent || wrong(result.faults) != 0) throw Failed("not every frame came back right");
}

void climb(Tester& tester, const Options& options) {
  uint32_t opened = 0;
  for (const uint32_t mappings : options.mappings) {
    const Circumstances at{options.dut_name, mappings, options.frame_bytes.front(), "both"};
    if (options.dut != Dut::io && mappings > opened) {
      const auto result = tester.open(opened, mappings - opened, options.open_rate, at.frame_bytes);
      report_open(at, result);
      if (result.opened != mappings - opened) throw Failed("not every mapping could be opened");
    }
    opened = mappings;
    for (const auto& measurement : options.measurements)
      if (measurement == "verify")
        verify(tester, at);
      else
        saturate(tester, options, at);
  }
}

int measure(const Options& options) {
  Flows flows(
      {options.mappings.back(), options.flows_per_subscriber, options.hosts_per_subscriber, options.dut != Dut::nat44});
  const std::vector<LinkPlan> plans{link_of(options.devices[0]), link_of(options.devices[1])};
  start_dpdk(plans, options.eal, options.core);
  {
    const std::chrono::seconds patience(options.patience_s);
    Link access(plans[0], patience), internet(plans[1], patience);
    Tester tester(access, internet, options.dut, flows);
    tester.meet(patience);
    climb(tester, options);
  }
  end_dpdk();
  return 0;
}

}  // namespace
}  // namespace portolan::bench

int main(int argc, char** argv) {
  try {
    const auto options = portolan::bench::parse_options(argc, argv);
    return options ? portolan::bench::measure(*options) : 0;
  } catch (const std::exception& error) {
    std::cerr << "portolan-bench: " << error.what() << '\n';
    return 1;
  }
}
