// portolan-bench: loads a DS-Lite AFTR, a NAT44 or a plain forwarder from both sides on one core, checks what it does
// and measures how fast it does it (RFC 8219, RFC 9693). bench/README.md tells the rest.
#include <boost/program_options.hpp>
#include <iostream>

#include "bench/generator/measurements.h"
#include "bench/generator/options.h"

namespace portolan::bench {
namespace {

LinkPlan link_of(const std::string& devargs, uint16_t descriptors) {
  LinkPlan plan{devargs.substr(0, devargs.find(',')), devargs, true, descriptors};
  plan.is_virtual = plan.name.find(':') == std::string::npos;
  return plan;
}

int measure(const Options& options) {
  Flows flows({options.mappings.back() + options.fresh_max, options.flows_per_subscriber, options.hosts_per_subscriber,
               options.dut != Dut::nat44});
  const std::vector<LinkPlan> plans{link_of(options.devices[0], options.descriptors),
                                    link_of(options.devices[1], options.descriptors)};
  start_dpdk(plans, options.eal, options.core);
  {
    const std::chrono::seconds patience(options.patience_s);
    Link access(plans[0], patience), internet(plans[1], patience);
    Tester tester(access, internet, options.dut, flows);
    tester.meet(patience);
    climb(tester, flows, options);
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
