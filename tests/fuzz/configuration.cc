// libFuzzer entry: any text as a configuration file. It is refused with errors that say where, or is a Config; and what
// a Config is printed as is a file that means the same.
#include <string_view>

#include "controlplane/config_file.h"
#include "tests/fuzz/input.h"

using namespace portolan;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto config = control::parse_config(text, "file");
  if (!config) {
    if (config.error().empty()) fuzz::require("refused without a word");
    for (const auto& error : config.error())
      if (!to_text(error).starts_with("file:") || error.text.empty()) fuzz::require("an error that says nothing");
    return 0;
  }
  const std::string printed = print_config(*config);
  const auto again = control::parse_config(printed, "printed");
  if (!again) fuzz::require(to_text(again.error().front()) + " in\n" + printed);
  if (print_config(*again) != printed) fuzz::require("printed twice, and not the same:\n" + printed);
  return 0;
}
