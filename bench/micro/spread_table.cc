// spread_table: how evenly the owner function (dataplane/nat/spread.h) deals addresses and subscribers to workers, as a
// Markdown table: the share of the busiest worker against an even one. Subscribers weigh one, or as traffic does where
// few make most of it (Zipf). A simulation: no packet moves.
#include <algorithm>
#include <cstdio>
#include <random>
#include <vector>

#include "dataplane/nat/pool.h"
#include "dataplane/net/text.h"

namespace {

using namespace portolan;

constexpr uint32_t subscribers = 100'000;

double busiest(const std::vector<double>& of_worker) {
  double sum = 0;
  for (const double share : of_worker) sum += share;
  return *std::ranges::max_element(of_worker) / (sum / static_cast<double>(of_worker.size()));
}

// Delegated prefixes one after the other, or here and there in a /24.
net::Ipv6 prefix_of(uint32_t number, bool scattered, std::mt19937& random) {
  net::Ipv6 prefix = *net::parse_ipv6("2001:db8::");
  const uint32_t place = scattered ? static_cast<uint32_t>(random()) : number;
  for (unsigned i = 0; i < 4; ++i) prefix.bytes[3 + i] = static_cast<uint8_t>(place >> (24 - 8 * i));
  return prefix;
}

void row(const char* pool, unsigned workers) {
  const nat::Pool addresses({*net::parse_ipv4_prefix(pool)}, {}, 256, workers);
  std::vector<double> ports(workers), ordered(workers), scattered(workers), skewed(workers);
  for (uint32_t number = 0; number < addresses.address_count(); ++number)
    for (uint32_t port = 1024; port < 65536; port += 256)
      ports[addresses.owner(number, {static_cast<uint16_t>(port)})] += 1;
  std::mt19937 random(1);
  for (uint32_t i = 0; i < subscribers; ++i) {
    ordered[addresses.owner_of(prefix_of(i, false, random))] += 1;
    scattered[addresses.owner_of(prefix_of(i, true, random))] += 1;
    skewed[addresses.owner_of(prefix_of(i, true, random))] += 1.0 / (i + 1);
  }
  std::printf("| %s | %u | %.2f | %.2f | %.2f | %.2f |\n", pool, workers, busiest(ports), busiest(ordered),
              busiest(scattered), busiest(skewed));
}

}  // namespace

int main() {
  std::puts(
      "| pool | workers | ports | subscribers in order | scattered | scattered, Zipf |\n|---|---|---|---|---|---|");
  for (const char* pool : {"192.0.2.0/28", "192.0.2.0/24", "198.18.0.0/20"})
    for (const unsigned workers : {1U, 2U, 4U, 8U, 16U, 32U, 64U}) row(pool, workers);
}
