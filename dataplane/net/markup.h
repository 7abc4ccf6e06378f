// Text inside HTML and XML. Here because pages of the DDNS server and answers of the UPnP gateway both show what
// strangers have written, and one of two copies would lack a character.
#pragma once

#include <string>
#include <string_view>

namespace portolan::net {

// As content of an element or a quoted attribute, in HTML and XML alike.
inline std::string escaped_markup(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

}  // namespace portolan::net
