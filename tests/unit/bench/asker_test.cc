#include "bench/generator/asker.h"

#include <gtest/gtest.h>

#include "bench/generator/addresses.h"
#include "dataplane/net/checksum.h"
#include "dataplane/net/wire.h"
#include "pcp-server/codec.h"

namespace portolan::bench {
namespace {

using net::header_at;

constexpr net::Mac own{{2, 0, 0, 0, 0, 0xa}}, device{{2, 0, 0, 0, 0, 0xd}};
constexpr size_t ip_at = sizeof(net::EthernetHeader) + sizeof(net::Ipv6Header);
constexpr size_t udp_at = ip_at + sizeof(net::Ipv4Header), message_at = udp_at + sizeof(net::UdpHeader);
constexpr size_t mappings = 1'600;  // a round of requests

// What the device would answer in the same softwire.
std::vector<uint8_t> answer_to(const Asker::Frame& frame, size_t bytes, pcp::Code code) {
  std::vector<uint8_t> out(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(bytes));
  auto& ip = header_at<net::Ipv4Header>(out.data() + ip_at);
  auto& udp = header_at<net::UdpHeader>(out.data() + udp_at);
  ip.destination = std::exchange(ip.source, net::Ipv4{ip.destination});
  udp.destination = std::exchange(udp.source, net::Port{udp.destination});
  out[message_at + 1] |= pcp::response_bit;
  out[message_at + 3] = static_cast<uint8_t>(code);
  return out;
}

TEST(Asker, BEN_032_a_request_is_a_right_packet_in_a_softwire_of_its_subscriber) {
  Asker asker;
  Asker::Frame frame;
  const size_t bytes = asker.write_next(frame, own, device);
  ASSERT_GT(bytes, message_at);
  const auto& outer = header_at<net::Ipv6Header>(frame.data() + sizeof(net::EthernetHeader));
  EXPECT_EQ(outer.destination, aftr_address);
  EXPECT_EQ(outer.payload_length, bytes - ip_at);
  const auto& ip = header_at<net::Ipv4Header>(frame.data() + ip_at);
  EXPECT_EQ(ip.total_length, bytes - ip_at);
  EXPECT_TRUE(net::checksum_is_right(ip));
  const auto udp = std::span(frame).subspan(udp_at, bytes - udp_at);
  const auto sum = net::pseudo_header(ip.source, ip.destination, net::Protocol::udp, udp.size()) + net::sum_of(udp);
  EXPECT_EQ(net::finish(sum).raw(), 0);
}

TEST(Asker, BEN_032_each_mapping_is_made_renewed_and_deleted_in_turn) {
  Asker asker;
  Asker::Frame frame;
  std::vector<uint32_t> lifetimes;
  for (size_t i = 0; i < 3 * mappings; ++i) {
    const size_t bytes = asker.write_next(frame, own, device);
    const auto& header = header_at<pcp::RequestHeader>(frame.data() + message_at);
    if (i % mappings == 7) lifetimes.push_back(header.lifetime_s);
    asker.sent(i + 1);
    EXPECT_TRUE(asker.hear(answer_to(frame, bytes, pcp::Code::success), i + 4));
  }
  EXPECT_EQ(lifetimes, (std::vector<uint32_t>{600, 600, 0}));
  EXPECT_EQ(asker.asked, 3 * mappings);
  EXPECT_EQ(asker.answered, 3 * mappings);
  EXPECT_EQ(asker.latency.max(), 3U);
}

TEST(Asker, BEN_032_an_answer_counts_once_and_a_refusal_as_one) {
  Asker asker;
  Asker::Frame frame;
  const size_t bytes = asker.write_next(frame, own, device);
  const auto refusal = answer_to(frame, bytes, pcp::Code::user_ex_quota);
  EXPECT_FALSE(asker.hear(refusal, 1)) << "not asked yet";
  asker.sent(1);
  EXPECT_FALSE(asker.hear(std::span(frame).first(bytes), 2)) << "the request itself";
  EXPECT_TRUE(asker.hear(refusal, 2));
  EXPECT_FALSE(asker.hear(refusal, 3));
  EXPECT_EQ(asker.answered, 1U);
  EXPECT_EQ(asker.refused, 1U);
  EXPECT_FALSE(asker.hear(std::span(refusal).first(message_at), 4)) << "cut short";
}

}  // namespace
}  // namespace portolan::bench
