// The slab's file: what is kept, what is grown, and what is refused without being touched.
#include <algorithm>
#include <fstream>
#include <sys/wait.h>
#include <vector>

#include "tests/unit/nat/fixture.h"

namespace portolan::nat {
namespace {

std::string contents(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void overwrite(const std::string& path, size_t at, const std::string& bytes) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(at));
  file << bytes;
}

Mapping record(uint16_t port) {
  Mapping mapping;
  mapping.flags = Mapping::in_use;
  mapping.outside_port = {port};
  return mapping;
}

class SlabFile : public testing::Test {
 protected:
  Directory directory_;
  const std::string path_ = directory_.file("worker-0.slab");

  void refused(const std::string& why) {
    const std::string before = contents(path_);
    const auto slab = Slab::open(path_, 1000);
    ASSERT_FALSE(slab);
    EXPECT_NE(slab.error().find(path_), std::string::npos) << slab.error();
    EXPECT_NE(slab.error().find(why), std::string::npos) << slab.error();
    EXPECT_TRUE(contents(path_) == before) << "the file was touched";
  }
};

TEST(Slab, in_memory_every_record_once) {
  auto slab = Slab::open("", 10).value();
  slab.build_free_list([](MappingIndex) { return true; });
  std::vector<bool> seen(10);
  while (const MappingIndex index = slab.take()) {
    ASSERT_LT(index, 10U);
    EXPECT_FALSE(seen[index]);
    seen[index] = true;
    slab.write(index, record(1));
  }
  EXPECT_EQ(std::count(seen.begin(), seen.end(), true), 9);
  EXPECT_FALSE(seen[null_mapping]);
  slab.give_back(5);
  EXPECT_FALSE(slab.read(5));
  EXPECT_TRUE(slab.read(6));
  EXPECT_EQ(slab.take(), 5U);
}

TEST_F(SlabFile, reopening_finds_what_was_written) {
  Slab::open(path_, 100)->write(7, record(4321));
  const auto slab = Slab::open(path_, 100);
  ASSERT_TRUE(slab) << slab.error();
  EXPECT_EQ(slab->capacity(), 100U);
  EXPECT_EQ(slab->read(7)->outside_port.number, 4321);
  EXPECT_FALSE(slab->read(8));
}

TEST_F(SlabFile, grows_and_never_cuts_records_off) {
  Slab::open(path_, 100)->write(99, record(4321));
  EXPECT_EQ(Slab::open(path_, 10'000)->capacity(), 10'000U);
  EXPECT_EQ(Slab::open(path_, 10'000)->read(99)->outside_port.number, 4321);
  Slab::open(path_, 10'000)->write(9999, record(1));
  const auto smaller = Slab::open(path_, 50);
  EXPECT_EQ(smaller->capacity(), 10'000U);
  EXPECT_TRUE(smaller->read(9999));
}

TEST_F(SlabFile, wrong_magic_is_refused_and_untouched) {
  std::ofstream(path_) << std::string(5000, 'x');
  refused("is not a mapping slab");
}

TEST_F(SlabFile, a_short_file_is_refused_and_untouched) {
  std::ofstream(path_) << "notes";
  refused("is not a mapping slab");
}

TEST_F(SlabFile, another_layout_is_refused_and_untouched) {
  Slab::open(path_, 10)->write(1, record(1));
  overwrite(path_, 8, std::string("\x63\0\0\0", 4));  // the layout version, after the magic
  refused("layout 99");
}

TEST_F(SlabFile, a_missing_directory_is_named) {
  const auto slab = Slab::open("/nonexistent/worker-0.slab", 10);
  ASSERT_FALSE(slab);
  EXPECT_NE(slab.error().find("/nonexistent/worker-0.slab: cannot be opened"), std::string::npos) << slab.error();
}

TEST_F(SlabFile, another_process_has_it) {
  int ready[2], done[2];
  ASSERT_EQ(pipe(ready) | pipe(done), 0);
  const pid_t child = fork();
  if (child == 0) {
    const auto slab = Slab::open(path_, 1000);
    char byte = slab ? 'y' : 'n';
    if (write(ready[1], &byte, 1) != 1 || read(done[0], &byte, 1) != 1) _exit(1);
    _exit(0);
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  ASSERT_EQ(byte, 'y');
  refused("in use by another portoland");
  ASSERT_EQ(write(done[1], &byte, 1), 1);
  waitpid(child, nullptr, 0);
  for (const int end : {ready[0], ready[1], done[0], done[1]}) close(end);
  EXPECT_TRUE(Slab::open(path_, 1000)) << "free again once the process is gone";
}

// After a reboot the clock that last_seen_s and expiry_s count in is gone.
TEST_F(SlabFile, CGN_015_mappings_of_another_boot_are_at_rest) {
  Slab::open(path_, 100)->write(7, record(4321));
  overwrite(path_, 24, "another boot");
  const auto slab = Slab::open(path_, 100);
  ASSERT_TRUE(slab) << slab.error();
  ASSERT_TRUE(slab->read(7));
  EXPECT_EQ(slab->read(7)->flags, Mapping::held);
  EXPECT_EQ(slab->read(7)->expiry_s, 0U);
  EXPECT_FALSE(slab->read(8));
}

TEST_F(SlabFile, sessions_of_another_boot_are_dropped) {
  Session session;
  session.flags = Session::in_use;
  SessionSlab::open(path_, 100)->write(7, session);
  EXPECT_TRUE(SessionSlab::open(path_, 100)->read(7));
  overwrite(path_, 24, "another boot");
  EXPECT_FALSE(SessionSlab::open(path_, 100)->read(7));
}

TEST_F(SlabFile, capacity_beyond_the_file_is_survived) {
  Slab::open(path_, 100)->write(7, record(4321));
  overwrite(path_, 16, std::string("\xff\xff\xff\x3f", 4));
  overwrite(path_, 24, "another boot");
  const auto slab = Slab::open(path_, 100);
  ASSERT_TRUE(slab) << slab.error();
  EXPECT_EQ(slab->read(7)->flags, Mapping::held);
}

}  // namespace
}  // namespace portolan::nat
