// Internationalized names (IDNA2008, RFC 5891): people read and write Unicode, DNS and HTTP carry ASCII. Pure
// functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace portolan::dns {

// "Bücher.example" as "xn--bcher-kva.example"; none if it is no name that may be registered. Of ASCII text only the
// form is looked at.
std::optional<std::string> to_ascii(std::string_view name);
// For eyes alone; as it is where it means nothing in Unicode.
std::string to_unicode(std::string_view name);

bool is_ascii(std::string_view text);

}  // namespace portolan::dns
