// Packets from capture files through devices, rings, workers and the pipeline into capture files, every one accounted
// for.
#include <map>
#include <set>

#include "dataplane/net/checksum.h"
#include "dataplane/net/text.h"
#include "dataplane/net/wire.h"
#include "dataplane_fixture.h"

namespace portolan::io::test {
namespace {

using nat::Verdict;
using pipeline::Punt;
using pipeline::Side;

const net::Endpoint remote{*net::parse_ipv4("203.0.113.9"), {53}};
const std::vector<std::vector<Frame>> nothing{{}};

const net::Ipv4Header& ipv4_of(const Frame& frame) {
  return net::header_at<net::Ipv4Header>(frame.data() + sizeof(net::EthernetHeader));
}
const net::UdpHeader& udp_of(const Frame& frame) {
  return net::header_at<net::UdpHeader>(frame.data() + sizeof(net::EthernetHeader) + sizeof(net::Ipv4Header));
}
std::string payload_of(const Frame& frame) {
  return {frame.begin() + sizeof(net::EthernetHeader) + sizeof(net::Ipv4Header) + sizeof(net::UdpHeader), frame.end()};
}
bool udp_checksum_is_right(const Frame& frame) {
  const auto segment = std::span(frame).subspan(sizeof(net::EthernetHeader) + sizeof(net::Ipv4Header));
  const auto& ip = ipv4_of(frame);
  const auto sum = net::pseudo_header(ip.source, ip.destination, net::Protocol::udp, segment.size());
  return net::fold(sum + net::sum_of(segment)) == 0xffff;
}

nat::Command open_explicit(uint64_t ticket, unsigned subscriber, net::Port inside_port) {
  nat::Command command;
  command.ticket = ticket;
  command.verb = nat::Command::Verb::open_explicit;
  command.key = {net::masked(b4_of(subscriber), 56), *net::parse_ipv4("10.0.0.2"), inside_port, net::Protocol::udp, 0};
  command.b4 = b4_of(subscriber);
  command.lifetime_s = 7200;
  return command;
}

// A query from each of `subscribers`, from `ports` inside ports each, its payload unique.
std::vector<Frame> queries(unsigned subscribers, unsigned ports) {
  std::vector<Frame> frames;
  for (unsigned port = 0; port < ports; ++port)
    for (unsigned subscriber = 0; subscriber < subscribers; ++subscriber)
      frames.push_back(softwire_udp(subscriber, {static_cast<uint16_t>(5000 + port)}, remote,
                                    "query " + std::to_string(subscriber) + " " + std::to_string(port)));
  return frames;
}

void expect_all_translated(const std::vector<Frame>& frames, unsigned subscribers, unsigned ports) {
  std::set<std::string> payloads;
  std::map<net::Endpoint, std::string> outside;
  for (const auto& frame : frames) {
    ASSERT_GE(frame.size(), size_t{42});
    const auto& ip = ipv4_of(frame);
    EXPECT_TRUE(net::contains(*net::parse_ipv4_prefix("192.0.2.0/30"), ip.source));
    EXPECT_EQ(ip.destination, remote.address);
    EXPECT_TRUE(net::checksum_is_right(ip) && udp_checksum_is_right(frame));
    EXPECT_TRUE(payloads.insert(payload_of(frame)).second) << "twice: " << payload_of(frame);
    EXPECT_TRUE(outside.emplace(net::Endpoint{ip.source, udp_of(frame).source}, payload_of(frame)).second);
  }
  EXPECT_EQ(payloads.size(), size_t{subscribers} * ports);
}

TEST(Dataplane, outbound_udp_leaves_translated) {
  in_child([] {
    Bench bench(1);
    bench.open(bench.capture_device(Side::access, {queries(1, 1)}), bench.capture_device(Side::internet, nothing));
    bench.run();
    wait_until([&] { return bench.sent_packets() == 1; }, "sent");
    bench.dataplane->stop();
    const auto frames = bench.sent(Side::internet);
    expect_all_translated(frames, 1, 1);
    const auto& ethernet = net::header_at<net::EthernetHeader>(frames.at(0).data());
    EXPECT_EQ(ethernet.destination, internet_gateway_mac);
    EXPECT_EQ(ethernet.source, internet_mac);
    const auto& side = bench.dataplane->counters(0).sides[1];
    EXPECT_EQ(side.sent_bytes.read(), frames.at(0).size());
    EXPECT_EQ(bench.on_their_way(), 0);
  });
}

Frame with_tag(const Frame& frame, uint16_t vlan) {
  Frame tagged = frame;
  const uint8_t tag[] = {0x81, 0, static_cast<uint8_t>(vlan >> 8), static_cast<uint8_t>(vlan)};
  tagged.insert(tagged.begin() + 12, std::begin(tag), std::end(tag));
  return tagged;
}

// One device and two VLANs: what comes in is counted for its side, what leaves has that side's tag, the router's own
// frames too, and nothing is received twice.
void expect_one_device_for_two_sides(unsigned workers) {
  in_child([workers] {
    Bench bench(workers);
    bench.snapshot->devices = {0, 0, 2};
    bench.snapshot->access.vlan = 100, bench.snapshot->internet.vlan = 200;
    constexpr unsigned subscribers = 30, ports = 4;
    std::vector<Frame> frames{internet_udp(remote, {*net::parse_ipv4("192.0.2.1"), {2000}}, "untagged")};
    frames.push_back(with_tag(internet_udp(remote, {*net::parse_ipv4("192.0.2.1"), {2000}}, "nobody's"), 200));
    for (const auto& frame : queries(subscribers, ports)) frames.push_back(with_tag(frame, 100));
    const auto device = bench.capture_device(Side::access, {frames});
    bench.open(device, device);
    EXPECT_EQ(bench.dataplane->mac(Side::access), bench.dataplane->mac(Side::internet));
    EXPECT_FALSE(bench.dataplane->has(Side::inside));
    EXPECT_FALSE(bench.dataplane->inject(Side::inside, frames[0]));
    bench.run();
    wait_until([&] { return bench.sent_packets() + bench.dropped() == frames.size(); }, "all sent");
    EXPECT_TRUE(bench.dataplane->inject(Side::internet, frames[0]));
    wait_until([&] { return bench.sent_packets() + bench.dropped() == frames.size() + 1; }, "injected");
    bench.dataplane->stop();
    auto sent = bench.sent(Side::access);
    EXPECT_EQ(std::erase(sent, frames[0]), 1U);
    for (auto& frame : sent) {
      ASSERT_EQ((Frame{frame.begin() + 12, frame.begin() + 18}), (Frame{0x81, 0, 0, 200, 8, 0}));
      frame.erase(frame.begin() + 12, frame.begin() + 16);
    }
    expect_all_translated(sent, subscribers, ports);
    EXPECT_EQ(bench.dropped(Verdict::vlan_refused), 1U);
    EXPECT_EQ(bench.dropped(Verdict::no_mapping), 1U);
    EXPECT_EQ(bench.total([](const auto& c) { return c.side(Side::internet).received.read(); }), 1U);
    EXPECT_EQ(bench.total([](const auto& c) { return c.side(Side::access).received.read(); }), frames.size() - 1);
    EXPECT_EQ(bench.total([](const auto& c) { return c.side(Side::internet).sent.read(); }),
              uint64_t{subscribers} * ports + 1);
    EXPECT_EQ(bench.on_their_way(), 0);
  });
}
TEST(Dataplane, one_worker_serves_one_device_for_two_sides) { expect_one_device_for_two_sides(1); }
TEST(Dataplane, three_workers_serve_one_device_for_two_sides) { expect_one_device_for_two_sides(3); }

// One receive queue, one transmit queue, several workers: software dispatch and relays, nothing lost, nothing twice.
void expect_exact_with_single_queues(unsigned workers) {
  in_child([workers] {
    Bench bench(workers);
    constexpr unsigned subscribers = 60, ports = 10;
    bench.open(bench.capture_device(Side::access, {queries(subscribers, ports)}),
               bench.capture_device(Side::internet, nothing));
    bench.run();
    wait_until([&] { return bench.sent_packets() + bench.dropped() == subscribers * ports; }, "all sent");
    bench.dataplane->stop();
    expect_all_translated(bench.sent(Side::internet), subscribers, ports);
    EXPECT_EQ(bench.dropped(), 0U);
    EXPECT_GT(bench.handed_out(), 0U);
    EXPECT_EQ(bench.handed_out(), bench.total([](const auto& c) { return c.handed_in.read(); }));
    EXPECT_EQ(bench.on_their_way(), 0);
    for (unsigned worker = 0; worker < workers; ++worker)
      EXPECT_GT(bench.shards[worker]->mappings_live(), 0U) << "worker " << worker;
  });
}
TEST(Dataplane, two_workers_on_single_queues_lose_nothing) { expect_exact_with_single_queues(2); }
TEST(Dataplane, three_workers_on_single_queues_lose_nothing) { expect_exact_with_single_queues(3); }

TEST(Dataplane, every_worker_uses_its_own_queues_if_there_are_enough) {
  in_child([] {
    Bench bench(2);
    const auto all = queries(40, 4);
    const auto middle = all.begin() + 80;
    bench.open(bench.capture_device(Side::access, {{all.begin(), middle}, {middle, all.end()}}, false, 2),
               bench.capture_device(Side::internet, {{}, {}}, false, 2));
    EXPECT_EQ(bench.dataplane->interface(Side::access).receive_queues, 2);
    EXPECT_EQ(bench.dataplane->interface(Side::internet).transmit_queues, 2);
    bench.run();
    wait_until([&] { return bench.sent_packets() == all.size(); }, "all sent");
    bench.dataplane->stop();
    for (unsigned worker = 0; worker < 2; ++worker) {
      EXPECT_EQ(bench.dataplane->counters(worker).sides[0].received.read(), 80U);
      EXPECT_EQ(bench.dataplane->counters(worker).sides[1].sent.read(),
                read_capture(bench.folder / ("internet-out" + std::to_string(worker))).size());
    }
    expect_all_translated(bench.sent(Side::internet, 2), 40, 4);
    EXPECT_EQ(bench.on_their_way(), 0);
  });
}

// An endless stream from both sides overruns rings and workers at will: whatever is lost is counted.
TEST(Dataplane, overload_is_accounted_exactly) {
  in_child([] {
    Bench bench(3);
    const auto stray = internet_udp(remote, {*net::parse_ipv4("192.0.2.1"), {2000}}, "stray");
    write_capture(bench.folder / "strays", {stray});
    bench.open(bench.capture_device(Side::access, {queries(50, 4)}, true),
               "net_pcap1,infinite_rx=1,tx_pcap=/dev/null,rx_pcap=" + (bench.folder / "strays"));
    bench.run();
    wait_until([&] { return bench.received() > 200'000 && bench.sent_packets() > 10'000; }, "a lot of packets");
    bench.dataplane->stop();
    EXPECT_EQ(bench.on_their_way(), 0);
    EXPECT_GT(bench.dropped(Verdict::no_mapping) + bench.dropped(Verdict::handover_full), 0U);
    EXPECT_EQ(bench.handed_out(), bench.total([](const auto& c) { return c.handed_in.read(); }));
  });
}

TEST(Dataplane, frames_of_no_protocol_are_dropped_and_counted) {
  in_child([] {
    Bench bench(2);
    bench.open("net_null0,size=64,copy=1", "net_null1,size=64,copy=1");
    bench.run();
    wait_until([&] { return bench.received() > 10'000; }, "ten thousand frames");
    bench.dataplane->stop();
    EXPECT_EQ(bench.dropped(), bench.received());
    EXPECT_EQ(bench.on_their_way(), 0);
  });
}

TEST(Dataplane, inbound_reaches_the_b4_through_an_explicit_mapping_made_by_command) {
  in_child([] {
    Bench bench(2);
    constexpr unsigned subscriber = 7;
    const nat::Pool& pool = bench.snapshot->policy.pool;
    uint32_t number = 0;  // an address of the subscriber's worker
    while (pool.owner(number, {2000}) != pool.owner_of(net::masked(b4_of(subscriber), 56))) ++number;
    const unsigned owner = pool.owner(number, {2000});
    const net::Endpoint outside{pool.address_of(number), {2000}};
    bench.open(bench.capture_device(Side::access, nothing),
               bench.capture_device(Side::internet, {{internet_udp(remote, outside, "knock")}}, true));
    bench.run();
    auto command = open_explicit(1, subscriber, {80});
    command.suggested = outside;
    command.exact = true;
    ASSERT_TRUE(bench.dataplane->submit(owner, command));
    wait_until([&] { return bench.total([](const auto& c) { return c.sides[0].sent.read(); }) > 0; }, "sent to the B4");
    bench.dataplane->stop();
    const auto frame = bench.sent(Side::access).at(0);
    const auto& ip = net::header_at<net::Ipv6Header>(frame.data() + sizeof(net::EthernetHeader));
    EXPECT_EQ(ip.destination, b4_of(subscriber));
    EXPECT_EQ(ip.next_header, static_cast<uint8_t>(net::Protocol::ipv4));
    EXPECT_EQ(bench.on_their_way(), 0);
  });
}

TEST(Dataplane, commands_are_answered_by_their_worker_in_order) {
  in_child([] {
    Bench bench(2);
    bench.open(bench.capture_device(Side::access, nothing), bench.capture_device(Side::internet, nothing));
    bench.run();
    constexpr uint64_t count = 3000;  // more than a ring holds
    std::array<uint64_t, 2> submitted{}, answered{};
    wait_until(
        [&] {
          for (unsigned worker = 0; worker < 2; ++worker) {
            const auto port = static_cast<uint16_t>(1024 + submitted[worker] % 100);
            if (submitted[worker] < count &&
                bench.dataplane->submit(worker, open_explicit(submitted[worker], worker, {port})))
              ++submitted[worker];
          }
          bench.dataplane->poll_results([&](unsigned worker, const nat::CommandResult& result) {
            EXPECT_EQ(result.ticket, answered[worker]++);
            EXPECT_EQ(result.status, nat::CommandResult::Status::done);
            EXPECT_EQ(bench.snapshot->policy.pool.owner(*bench.snapshot->policy.pool.number_of(result.outside.address),
                                                        result.outside.port),
                      worker);
          });
          return answered[0] == count && answered[1] == count;
        },
        "all answered");
    bench.dataplane->stop();
    EXPECT_EQ(bench.shards[0]->mappings_live(), 100U);
    EXPECT_EQ(bench.shards[1]->mappings_live(), 100U);
  });
}

TEST(Dataplane, no_answer_is_lost_while_nobody_polls) {
  in_child([] {
    Bench bench(1);
    bench.open(bench.capture_device(Side::access, nothing), bench.capture_device(Side::internet, nothing));
    bench.run();
    uint64_t submitted = 0;
    wait_until([&] { return bench.dataplane->submit(0, open_explicit(submitted, 0, {80})) && ++submitted == 2000; },
               "both rings nearly full");
    EXPECT_LE(submitted, 2048U);
    uint64_t answered = 0;
    wait_until(
        [&] {
          bench.dataplane->poll_results(
              [&](unsigned, const nat::CommandResult& r) { EXPECT_EQ(r.ticket, answered++); });
          return answered == submitted;
        },
        "all answered");
  });
}

TEST(Dataplane, mappings_expire_by_the_clock_that_tests_shift) {
  in_child([] {
    Bench bench(1);
    bench.open(bench.capture_device(Side::access, {queries(3, 2)}), bench.capture_device(Side::internet, nothing));
    bench.run();
    wait_until([&] { return bench.shards[0]->mappings_live() == 6; }, "six mappings");
    bench.clock.shift(299);
    bench.clock.shift(2);
    wait_until([&] { return bench.shards[0]->mappings_live() == 0; }, "expired");
    EXPECT_EQ(bench.shards[0]->counters().expired.read(), 6U);
  });
}

TEST(Dataplane, punts_carry_frame_and_context_and_their_ring_is_bounded) {
  in_child([] {
    Bench bench(1);
    const auto request = arp_request(*net::parse_ipv4("198.51.100.254"), *net::parse_ipv4("198.51.100.1"));
    std::vector<Frame> requests;
    for (uint8_t neighbor = 0; neighbor < 12; ++neighbor) {
      Frame from = request;
      from[11] = neighbor;  // of the Ethernet source
      requests.insert(requests.end(), 100, from);
    }
    bench.open(bench.capture_device(Side::access, nothing), bench.capture_device(Side::internet, {requests}));
    bench.run();
    wait_until([&] { return bench.punted() + bench.dropped() == 1200; }, "all punted or dropped");
    bench.dataplane->stop();
    EXPECT_EQ(bench.punted(), 1024U);
    EXPECT_EQ(bench.dropped(Verdict::punt_full), 176U);
    EXPECT_EQ(bench.on_their_way(), 0);
    size_t polled = 0;
    const auto handle = [&](std::span<uint8_t> frame, const pipeline::Context& context) {
      EXPECT_TRUE(std::ranges::equal(frame, requests[polled++]));
      EXPECT_EQ(context.side, Side::internet);
      EXPECT_EQ(context.punt, Punt::arp);
    };
    EXPECT_EQ(bench.dataplane->poll_punts(handle, 1'000), 1'000U);
    EXPECT_EQ(bench.dataplane->poll_punts(handle, 1'000), 24U);
    EXPECT_EQ(polled, 1024U);
  });
}

// To 192.0.0.1, where PCP is; two subscribers' and the router's neighbour's arrive after the flood.
TEST(Dataplane, PCP_023_a_flood_of_punts_costs_its_sender_alone) {
  in_child([] {
    Bench bench(1);
    const net::Endpoint pcp{*net::parse_ipv4("192.0.0.1"), {5351}};
    std::vector<Frame> frames(5'000, softwire_udp(1, {40000}, pcp, "flood"));
    frames.insert(frames.end(), 100, softwire_udp(2, {40000}, pcp, "request"));
    frames.insert(frames.end(), 100, softwire_udp(3, {40000}, pcp, "request"));
    bench.open(bench.capture_device(Side::access, {frames}), bench.capture_device(Side::internet, nothing));
    bench.run();
    wait_until([&] { return bench.punted() + bench.dropped() == 5'200; }, "all punted or dropped");
    bench.dataplane->stop();
    std::map<net::Ipv6, unsigned> punted;
    bench.dataplane->poll_punts([&](std::span<uint8_t>, const pipeline::Context& context) { ++punted[context.b4]; },
                                6'000);
    EXPECT_EQ(punted, (std::map<net::Ipv6, unsigned>{{b4_of(1), 128}, {b4_of(2), 100}, {b4_of(3), 100}}));
    EXPECT_EQ(bench.on_their_way(), 0);
  });
}

TEST(Dataplane, injected_frames_leave_unchanged_through_their_side) {
  in_child([] {
    Bench bench(3);
    bench.open(bench.capture_device(Side::access, nothing), bench.capture_device(Side::internet, nothing));
    bench.run();
    const auto request = arp_request(*net::parse_ipv4("198.51.100.1"), *net::parse_ipv4("198.51.100.254"));
    const auto query = softwire_udp(1, {1}, remote, "as it is");
    EXPECT_TRUE(bench.dataplane->inject(Side::internet, request));
    EXPECT_TRUE(bench.dataplane->inject(Side::access, query));
    EXPECT_FALSE(bench.dataplane->inject(Side::access, Frame(20'000)));
    EXPECT_FALSE(bench.dataplane->inject(Side::access, {}));
    wait_until([&] { return bench.sent_packets() == 2; }, "both sent");
    bench.dataplane->stop();
    EXPECT_EQ(bench.sent(Side::internet), std::vector<Frame>{request});
    EXPECT_EQ(bench.sent(Side::access), std::vector<Frame>{query});
    EXPECT_EQ(bench.total([](const auto& c) { return c.injected.read(); }), 2U);
    EXPECT_EQ(bench.on_their_way(), 0);
  });
}

// A memif that nobody has connected to takes nothing.
TEST(Dataplane, injected_frames_wait_for_a_device_without_room) {
  in_child([] {
    Bench bench(1);
    bench.open("net_memif0,role=server,socket-abstract=no,socket=" + (bench.folder / "link"),
               bench.capture_device(Side::internet, nothing));
    bench.run();
    const auto answer = softwire_udp(1, {1}, remote, "awaited");
    unsigned accepted = 0;
    const auto polls = [&] { return bench.total([](const auto& c) { return c.polls.read(); }); };
    for (unsigned tries = 0; tries < 2; ++tries) {
      while (bench.dataplane->inject(Side::access, answer)) ++accepted;
      const uint64_t before = polls();
      wait_until([&] { return polls() > before + 100; }, "rounds");
    }
    EXPECT_GT(accepted, 512U);  // the ring's, and a first burst before it
    EXPECT_EQ(bench.dropped(), 0U);
    EXPECT_EQ(bench.on_their_way(), 0);
    bench.dataplane->stop();
  });
}

TEST(Dataplane, swapped_snapshot_is_used_by_all_and_the_old_one_by_none) {
  in_child([] {
    Bench bench(2);
    bench.open(bench.capture_device(Side::access, {queries(20, 1)}, true),
               bench.capture_device(Side::internet, nothing));
    bench.run();
    wait_until([&] { return bench.sent_packets() > 100; }, "packets under the first configuration");
    auto next = std::make_unique<pipeline::Snapshot>(*bench.snapshot);
    next->internet.mac = {{2, 0, 0, 0, 0, 9}};
    bench.dataplane->swap_snapshot(*next);
    std::ranges::fill(bench.snapshot->internet.mac.bytes, uint8_t{0xee});  // nobody may read it any more
    std::swap(bench.snapshot, next);
    next.reset();
    const uint64_t before = bench.sent_packets();
    wait_until([&] { return bench.sent_packets() > before + 1000; }, "packets under the second");
    bench.dataplane->stop();
    std::set<net::Mac> sources;
    const auto frames = bench.sent(Side::internet);
    for (const auto& frame : frames) sources.insert(net::header_at<net::EthernetHeader>(frame.data()).source);
    EXPECT_EQ(sources, (std::set<net::Mac>{internet_mac, bench.snapshot->internet.mac}));
    EXPECT_EQ(net::header_at<net::EthernetHeader>(frames.back().data()).source, bench.snapshot->internet.mac);
  });
}

// Shows DSL-070.
TEST(Dataplane, interfaces_are_described) {
  in_child([] {
    Bench bench(1);
    bench.open(bench.capture_device(Side::access, {queries(5, 1)}), bench.capture_device(Side::internet, nothing));
    bench.run();
    wait_until([&] { return bench.sent_packets() == 5; }, "sent");
    const auto access = bench.dataplane->interface(Side::access), internet = bench.dataplane->interface(Side::internet);
    EXPECT_EQ(access.device, "net_pcap0");
    EXPECT_EQ(access.driver, "net_pcap");
    EXPECT_EQ(access.mtu_bytes, 1500);
    EXPECT_TRUE(access.link_up);
    EXPECT_EQ(access.received, 5U);
    EXPECT_EQ(internet.sent, 5U);
    EXPECT_EQ(internet.sent_bytes, bench.dataplane->counters(0).sides[1].sent_bytes.read());
    EXPECT_EQ(bench.dataplane->mac(Side::access), access.mac);
    EXPECT_NE(access.mac, internet.mac);
  });
}

void expect_refusal(const char* access, const char* internet, const char* expected) {
  in_child([=] {
    DataplaneSettings settings;
    settings.sides[0].device = access;
    settings.sides[1].device = internet;
    settings.log = [](std::string_view) {};
    const auto opened = Dataplane::open(settings);
    ASSERT_FALSE(opened);
    EXPECT_NE(opened.error().find(expected), std::string::npos) << opened.error();
  });
}
TEST(Dataplane, unknown_driver_is_an_error_that_names_it) {
  expect_refusal("net_nosuch0", "net_null1", "access device net_nosuch0: there is no driver net_nosuch");
}
TEST(Dataplane, refusing_driver_is_quoted) {
  expect_refusal("net_null0", "net_pcap0,rx_pcap=/nonexistent.pcap", "internet device net_pcap0: the driver refused");
}
TEST(Dataplane, one_name_for_two_devices_is_an_error) {
  expect_refusal("net_null0", "net_null0,size=64", "net_null0 and net_null1");
}
TEST(Dataplane, missing_interface_is_an_error) {
  expect_refusal("net_null0", "net_af_packet0,iface=nosuch0", "there is no interface nosuch0");
}

TEST(Dataplane, wrong_eal_option_is_an_error_with_eals_words) {
  in_child([] {
    DataplaneSettings settings;
    settings.eal = "--no-such-option";
    settings.sides[0].device = "net_null0";
    settings.sides[1].device = "net_null1";
    const auto opened = Dataplane::open(settings);
    ASSERT_FALSE(opened);
    EXPECT_NE(opened.error().find("EAL did not start"), std::string::npos) << opened.error();
    EXPECT_NE(opened.error().find("--no-such-option"), std::string::npos) << opened.error();
  });
}

}  // namespace
}  // namespace portolan::io::test
