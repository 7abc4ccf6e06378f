#include "bench/generator/station.h"

#include <gtest/gtest.h>

#include "bench/generator/addresses.h"
#include "dataplane/net/checksum.h"

namespace portolan::bench {
namespace {

constexpr net::Mac own{{2, 0, 0, 0, 0, 0xa}}, device{{2, 0, 0, 0, 0, 0xd}};

Station gateway(const net::Mac& mac = own) { return {{{}, {}, internet_gateway, dut_internet}, mac}; }
Station router(const net::Mac& mac = own) { return {{access_gateway, dut_access, {}, {}}, mac}; }
// The device's side of the same links: whatever a station asks, another one can answer.
Station device_v4() { return {{{}, {}, dut_internet, internet_gateway}, device}; }
Station device_v6() { return {{dut_access, access_gateway, {}, {}}, device}; }

std::span<const uint8_t> first(const Station::Frame& frame, size_t bytes) { return std::span(frame).first(bytes); }

void exchange(Station& asks, Station& answers) {
  Station::Frame question{}, answer{}, nothing{};
  const size_t question_bytes = asks.ask(question);
  const size_t answer_bytes = answers.handle(first(question, question_bytes), answer);
  ASSERT_GT(answer_bytes, 0U);
  EXPECT_TRUE(answers.found());
  EXPECT_EQ(asks.handle(first(answer, answer_bytes), nothing), 0U);
  EXPECT_EQ(asks.device_mac(), device);
  EXPECT_EQ(answers.device_mac(), own);
}

TEST(Station, asks_for_the_device_and_takes_its_answer_by_arp) {
  auto asks = gateway(), answers = device_v4();
  exchange(asks, answers);
}

TEST(Station, asks_for_the_device_and_takes_its_answer_by_neighbour_discovery) {
  auto asks = router(), answers = device_v6();
  exchange(asks, answers);
}

TEST(Station, a_solicitation_has_a_right_checksum) {
  Station::Frame frame{};
  const size_t bytes = router().ask(frame);
  const auto& header = net::header_at<net::Ipv6Header>(frame.data() + sizeof(net::EthernetHeader));
  const auto message = first(frame, bytes).subspan(sizeof(net::EthernetHeader) + sizeof header);
  const auto sum = net::pseudo_header(header.source, header.destination, net::Protocol::icmpv6, message.size());
  EXPECT_EQ(net::fold(sum + net::sum_of(message)), 0xffff);
}

TEST(Station, leaves_what_is_not_for_it_unanswered) {
  Station::Frame question{}, answer{};
  auto other = Station({{}, {}, dut_inside, inside_gateway}, device);
  const size_t bytes = gateway().ask(question);
  EXPECT_EQ(other.handle(first(question, bytes), answer), 0U);
  EXPECT_FALSE(other.found());
  auto answers = device_v4();
  EXPECT_EQ(answers.handle(first(question, bytes - 1), answer), 0U);  // cut short
  EXPECT_EQ(answers.handle({}, answer), 0U);
}

}  // namespace
}  // namespace portolan::bench
