#include "dns/tsig_key.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <fstream>
#include <ldns/ldns.h>
#include <sstream>

namespace portolan::dns {
namespace {

// The value after `word` in a key file's text, without quotes.
std::string value_after(const std::string& text, const std::string& word) {
  size_t at = text.find(word);
  if (at == std::string::npos) return "";
  at = text.find_first_not_of(" \t\r\n\"", at + word.size());
  return at == std::string::npos ? "" : text.substr(at, text.find_first_of(" \t\r\n\";{", at) - at);
}

}  // namespace

std::string check_key_name(const std::string& name) {
  const bool good = !name.empty() && name.size() < 254 && std::ranges::all_of(name, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '.' || c == '_';
  });
  return good ? "" : "'" + name + "' is not a key name";
}

std::string check_algorithm(const std::string& algorithm) {
  if (algorithm == "hmac-md5")
    return "hmac-md5 must not be used (RFC 8945 §6); make a hmac-sha256 key: tsig-keygen NAME";
  // SHA-1 for servers that know no other: it must be there and is not recommended (§6).
  constexpr std::array known = {"hmac-sha256", "hmac-sha512", "hmac-sha1"};
  if (std::ranges::find(known, algorithm) == known.end())
    return "'" + algorithm + "' is none of hmac-sha256, hmac-sha512 and, for old servers, hmac-sha1";
  return "";
}

std::string check_secret(const std::string& secret) {
  ldns_rdf* octets = nullptr;
  const bool good = ldns_str2rdf_b64(&octets, secret.c_str()) == LDNS_STATUS_OK && ldns_rdf_size(octets) > 0;
  ldns_rdf_deep_free(octets);
  return good ? "" : "not base64, as tsig-keygen prints it";
}

net::Result<TsigKey, std::string> read_key_file(const std::string& file) {
  std::ifstream in(file);
  if (!in) return tl::unexpected(file + " cannot be read");
  std::ostringstream content;
  content << in.rdbuf();
  const std::string text = content.str();
  TsigKey key{value_after(text, "key "), value_after(text, "algorithm"), value_after(text, "secret")};
  if (key.name.empty()) return tl::unexpected(file + " is not a key file as tsig-keygen prints it");
  if (const auto wrong = check_algorithm(key.algorithm); !wrong.empty())
    return tl::unexpected(file + ": algorithm: " + wrong);
  if (const auto wrong = check_secret(key.secret); !wrong.empty()) return tl::unexpected(file + ": secret: " + wrong);
  return key;
}

}  // namespace portolan::dns
