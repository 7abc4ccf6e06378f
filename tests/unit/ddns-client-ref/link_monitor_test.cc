// rtnetlink, as the kernel would send it: which messages are events. And the status socket, whose file is its own.
#include "ddns-client-ref/link_monitor.h"

#include <cstring>
#include <filesystem>
#include <gtest/gtest.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/stat.h>
#include <thread>
#include <vector>

#include "ddns-client-ref/status_socket.h"

namespace portolan::ddns {
namespace {

std::vector<std::byte> link(uint16_t type, int index, unsigned flags) {
  struct {
    nlmsghdr header;
    ifinfomsg body;
  } message{};
  message.header.nlmsg_len = sizeof message;
  message.header.nlmsg_type = type;
  message.body.ifi_index = index;
  message.body.ifi_flags = flags;
  std::vector<std::byte> out(sizeof message);
  std::memcpy(out.data(), &message, sizeof message);
  return out;
}

std::vector<std::byte> bare(uint16_t type) {
  const nlmsghdr header{sizeof header, type, 0, 0, 0};
  std::vector<std::byte> out(sizeof header);
  std::memcpy(out.data(), &header, sizeof header);
  return out;
}

class Links : public ::testing::Test {
 protected:
  boost::asio::io_context io_;
  LinkMonitor monitor_{io_, [](const LinkEvent&) {}};
  static constexpr LinkEvent nothing{}, path{false, true}, up{true, true};
  void SetUp() override {
    EXPECT_EQ(monitor_.read(link(RTM_NEWLINK, 1, IFF_RUNNING)), nothing) << "the list of what is there";
    EXPECT_EQ(monitor_.read(link(RTM_NEWLINK, 2, 0)), nothing);
    EXPECT_EQ(monitor_.read(bare(NLMSG_DONE)), nothing);
  }
};

TEST_F(Links, a_link_that_comes_up_is_an_event_one_that_talks_is_none) {
  EXPECT_EQ(monitor_.read(link(RTM_NEWLINK, 1, IFF_RUNNING)), nothing) << "a new name, or statistics";
  EXPECT_EQ(monitor_.read(link(RTM_NEWLINK, 2, IFF_RUNNING)), up);
  EXPECT_EQ(monitor_.read(link(RTM_NEWLINK, 1, 0)), path) << "down";
  EXPECT_EQ(monitor_.read(link(RTM_NEWLINK, 1, IFF_RUNNING)), up);
  EXPECT_EQ(monitor_.read(link(RTM_NEWLINK, 3, IFF_RUNNING)), up) << "a new one";
  EXPECT_EQ(monitor_.read(link(RTM_DELLINK, 3, 0)), path);
  EXPECT_EQ(monitor_.read(link(RTM_NEWLINK, 3, IFF_RUNNING)), up) << "the same number again";
}

TEST_F(Links, addresses_and_routes_change_the_path) {
  for (const uint16_t type : {RTM_NEWADDR, RTM_DELADDR, RTM_NEWROUTE, RTM_DELROUTE})
    EXPECT_EQ(monitor_.read(bare(type)), path) << type;
  EXPECT_EQ(monitor_.read(bare(RTM_NEWNEIGH)), nothing);
}

TEST_F(Links, several_messages_in_one_datagram_and_cut_ones) {
  auto both = bare(RTM_NEWNEIGH);
  const auto second = link(RTM_NEWLINK, 2, IFF_RUNNING);
  both.insert(both.end(), second.begin(), second.end());
  EXPECT_EQ(monitor_.read(both), up);
  for (size_t size = 0; size < second.size(); ++size)
    EXPECT_EQ(monitor_.read(std::span(second).first(size)), nothing) << size;
  auto lying = bare(RTM_NEWADDR);
  lying[0] = std::byte{3};  // shorter than its header
  EXPECT_EQ(monitor_.read(lying), nothing);
}

TEST_F(Links, the_kernel_answers_the_list_and_nothing_is_an_event_yet) {
  unsigned events = 0;
  LinkMonitor monitor(io_, [&](const LinkEvent&) { ++events; });
  const auto started = monitor.start();
  ASSERT_TRUE(started) << started.error();
  io_.run_for(std::chrono::milliseconds(100));
  EXPECT_EQ(events, 0U);
}

class Status : public ::testing::Test {
 protected:
  std::string path_ = ::testing::TempDir() + "status-" + std::to_string(getpid());
  boost::asio::io_context io_;
};

TEST_F(Status, says_its_content_to_who_connects_and_leaves_no_file) {
  {
    const std::string text(200'000, 'x');  // more than the kernel takes at once
    StatusSocket socket(io_, path_, [&] { return text; });
    ASSERT_TRUE(socket.start());
    struct stat file {};
    ASSERT_EQ(stat(path_.c_str(), &file), 0);
    EXPECT_EQ(file.st_mode & 0777U, 0660U);
    std::thread client([&] {
      for (int i = 0; i < 3; ++i) EXPECT_EQ(read_status(path_).value(), text);
      boost::asio::post(io_, [&] { io_.stop(); });
    });
    io_.run();
    client.join();
  }
  EXPECT_FALSE(std::filesystem::exists(path_));
  EXPECT_FALSE(read_status(path_));
}

TEST_F(Status, is_one_processs_and_a_dead_ones_is_replaced) {
  StatusSocket first(io_, path_, [] { return "1"; });
  ASSERT_TRUE(first.start());
  StatusSocket second(io_, path_, [] { return "2"; });
  EXPECT_FALSE(second.start());
  boost::asio::local::stream_protocol::acceptor dead(io_, path_ + "d");
  dead.close();
  ASSERT_TRUE(std::filesystem::exists(path_ + "d"));
  StatusSocket after(io_, path_ + "d", [] { return "3"; });
  EXPECT_TRUE(after.start());
}

}  // namespace
}  // namespace portolan::ddns
