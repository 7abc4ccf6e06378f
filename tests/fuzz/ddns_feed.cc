// libFuzzer entry: any lines as an AFTR's mapping feed. What is taken leaves mirror and registry agreeing; what is not
// a feed's ends the connection with a reason.
#include <sstream>

#include "ddns-server/authority.h"
#include "tests/fuzz/input.h"

using namespace portolan;
using namespace portolan::ddnsd;

namespace {
constexpr int64_t now_s = 1'700'000'000;
constexpr size_t lines_max = 64;
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto registry = Registry::open(":memory:");
  registry->add_account("isp", "hash");
  registry->add_name("a.example", "isp");
  registry->add_follow({"a.example", "2001:db8:b:100::/56", "", net::Protocol::tcp, 0, "", "", ""});
  Authority authority(std::move(*registry), [] {});
  std::istringstream in(std::string(reinterpret_cast<const char*>(data), size));
  std::string line;
  for (size_t count = 0; count < lines_max && std::getline(in, line); ++count) {
    std::string why;
    if (!authority.take(line, now_s, why)) {
      if (why.empty()) fuzz::require("refused without a word");
      authority.lost();
      if (authority.is_current(now_s)) fuzz::require("current without a connection");
      continue;
    }
    authority.flush(now_s);
    if (authority.size() > lines_max) fuzz::require("more mappings than lines");
  }
  return 0;
}
