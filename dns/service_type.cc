#include "dns/service_type.h"

#include <algorithm>

namespace portolan::dns {

bool is_service_type(std::string_view text) {
  const auto is_letter = [](char c) { return c >= 'a' && c <= 'z'; };
  const auto may_stand = [&](char c) { return is_letter(c) || (c >= '0' && c <= '9') || c == '-'; };
  return !text.empty() && text.size() <= 15 && std::ranges::all_of(text, may_stand) &&
         std::ranges::any_of(text, is_letter) && text.front() != '-' && text.back() != '-' &&
         text.find("--") == text.npos;
}

}  // namespace portolan::dns
