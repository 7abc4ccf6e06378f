#include "dns/idn.h"

#include <algorithm>
#include <idn2.h>
#include <memory>

namespace portolan::dns {
namespace {

using Text = std::unique_ptr<char, decltype(&idn2_free)>;

}  // namespace

bool is_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

std::optional<std::string> to_ascii(std::string_view name) {
  if (is_ascii(name)) return std::string(name);
  const std::string terminated(name);
  if (terminated.find('\0') != std::string::npos) return std::nullopt;
  char* raw = nullptr;
  // Not transitional: ß is a letter of its own (RFC 5894 §7.2). Capitals and other widths are mapped (UTS #46).
  const int code = idn2_to_ascii_8z(terminated.c_str(), &raw, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
  const Text owned(raw, idn2_free);
  if (code != IDN2_OK) return std::nullopt;
  return std::string(owned.get());
}

std::string to_unicode(std::string_view name) {
  const std::string terminated(name);
  if (terminated.find("xn--") == std::string::npos) return terminated;
  char* raw = nullptr;
  const int code = idn2_to_unicode_8z8z(terminated.c_str(), &raw, 0);
  const Text owned(raw, idn2_free);
  // What decodes to anything that would not be taken as a name (a control character, say) is shown to nobody.
  return code == IDN2_OK && to_ascii(owned.get()) == terminated ? std::string(owned.get()) : terminated;
}

}  // namespace portolan::dns
