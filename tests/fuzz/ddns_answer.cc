// libFuzzer entry: any octets as a DNS server's answer to an update. None of them is believed, for none is signed with
// the key; and the reason is told.
#include "dns/update.h"
#include "tests/fuzz/input.h"

using namespace portolan;
using namespace portolan::dns;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Primary primary = [] {
    Primary out;
    out.zone = "example";
    out.key = {"ddns-key", "hmac-sha256", "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI="};
    return out;
  }();
  const Update update{
      {"a.example A"}, {"a.example A", "_http._tcp.a.example SRV"}, {{"a.example", "A", 30, "192.0.2.1"}}};
  const auto done = judge_answer(primary, update, {data, size});
  if (done) fuzz::require("an answer without our signature was believed");
  if (done.error().text.empty()) fuzz::require("refused without a word");
  return 0;
}
