#include "ddns-client-ref/registration.h"

#include <cctype>
#include <string_view>

#include "dataplane/net/text.h"

namespace portolan::ddns {

std::string uri_of(const Registration& record) {
  constexpr std::string_view plain = "-._~!$&'()*+,;=:@/?%", digits = "0123456789ABCDEF";
  if (record.scheme.empty()) return {};
  std::string out = record.scheme + "://" + net::to_text(record.outside);
  for (const char c : record.path) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x80 && std::isalnum(byte)) || plain.find(c) != std::string_view::npos)
      out += c;
    else
      out.append({'%', digits[byte >> 4], digits[byte & 15]});
  }
  return out;
}

}  // namespace portolan::ddns
