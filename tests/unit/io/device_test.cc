// `device =` values: what DPDK is told, and what the operator is told when it can't work.
#include "dataplane/io/device.h"

#include <gtest/gtest.h>

namespace portolan::io {
namespace {

TEST(Device, virtual_device_is_taken_apart) {
  const auto device = parse_device("net_af_packet0,iface=acc0,qpairs=2", 1500);
  ASSERT_TRUE(device) << device.error();
  EXPECT_EQ(device->name, "net_af_packet0");
  EXPECT_EQ(device->driver, "net_af_packet");
  EXPECT_EQ(device->interface, "acc0");
  EXPECT_EQ(device->devargs, "net_af_packet0,iface=acc0,qpairs=2,blocksz=299008,framesz=9344");
  EXPECT_TRUE(device->is_virtual);
}

TEST(Device, old_prefix_means_the_same_driver) {
  EXPECT_EQ(parse_device("eth_af_packet3,iface=a", 1500)->driver, "net_af_packet");
}

TEST(Device, pci_address_gets_its_domain) {
  EXPECT_EQ(parse_device("03:00.1", 1500)->name, "0000:03:00.1");
  const auto device = parse_device("0000:03:00.0,rx_vec=0", 9000);
  ASSERT_TRUE(device);
  EXPECT_EQ(device->name, "0000:03:00.0");
  EXPECT_EQ(device->devargs, "0000:03:00.0,rx_vec=0");
  EXPECT_FALSE(device->is_virtual);
}

TEST(Device, defaults_fill_only_what_is_missing) {
  EXPECT_EQ(parse_device("net_af_xdp0,iface=a", 1500)->devargs, "net_af_xdp0,iface=a,start_queue=0,queue_count=1");
  EXPECT_EQ(parse_device("net_af_xdp0,iface=a,queue_count=4", 1500)->devargs,
            "net_af_xdp0,iface=a,queue_count=4,start_queue=0");
  EXPECT_EQ(parse_device("net_memif0,id=1", 1500)->devargs, "net_memif0,id=1,bsize=9344");
  for (const uint16_t mtu_bytes : {uint16_t{1500}, uint16_t{9000}})  // the kernel puts fragments together
    EXPECT_EQ(parse_device("net_af_packet0,iface=a", mtu_bytes)->devargs,
              "net_af_packet0,iface=a,blocksz=299008,framesz=9344");
}

TEST(Device, wrong_values_are_refused_with_the_way_out) {
  struct Case {
    const char* text;
    uint16_t mtu_bytes;
    const char* expected;
  };
  for (const auto& [text, mtu_bytes, expected] : {
           Case{"eth0", 1500, "write net_af_packet0,iface=NAME"},
           Case{"", 1500, "neither a DPDK virtual device nor a PCI address"},
           Case{"0000:03:00", 1500, "neither"},
           Case{"0000:0g:00.0", 1500, "neither"},
           Case{"net_af_packet0", 1500, "write net_af_packet0,iface=NAME"},
           Case{"net_af_xdp1,xiface=a", 1500, "write net_af_xdp1,iface=NAME"},
           Case{"net_af_xdp0,iface=a", 4000, "mtu 4000 is more than the 3000"},
           Case{"net_null0", 9217, "mtu 9217 is more than the 9216"},
       }) {
    const auto device = parse_device(text, mtu_bytes);
    ASSERT_FALSE(device) << text;
    EXPECT_NE(device.error().find(expected), std::string::npos) << device.error();
  }
}

TEST(Device, two_sides_name_one_device_alike_or_two_apart) {
  const auto conflict = [](const char* access, const char* internet) {
    return find_conflict("access", *parse_device(access, 1500), "internet", *parse_device(internet, 1500)).value_or("");
  };
  EXPECT_NE(conflict("net_af_packet0,iface=a", "net_af_xdp0,iface=a").find("access and internet both name a,"),
            std::string::npos);
  EXPECT_NE(conflict("03:00.0", "0000:03:00.0").find("both name 0000:03:00.0"), std::string::npos);
  EXPECT_NE(conflict("net_null0", "net_null0,size=9").find("net_null0 and net_null1"), std::string::npos);
  EXPECT_EQ(conflict("net_af_packet0,iface=a", "net_af_packet1,iface=b"), "");
  EXPECT_EQ(conflict("03:00.0", "03:00.1"), "");
}

TEST(Device, what_is_not_there_is_named) {
  const auto obstacle = [](const char* text) { return find_obstacle(*parse_device(text, 1500), 1500).value_or(""); };
  EXPECT_NE(obstacle("net_af_packet0,iface=nosuch0").find("no interface nosuch0"), std::string::npos);
  EXPECT_NE(obstacle("ffff:ff:1f.7").find("no such PCI device"), std::string::npos);
  EXPECT_EQ(obstacle("net_null0"), "");
  EXPECT_EQ(obstacle("net_tap0,iface=lo"), "");
}

}  // namespace
}  // namespace portolan::io
