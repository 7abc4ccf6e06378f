// A TSIG key (RFC 8945) as configurations name it.
#pragma once

#include <string>

#include "dataplane/net/result.h"

namespace portolan::dns {

struct TsigKey {
  std::string name, algorithm = "hmac-sha256", secret;  // secret in base64
};

// Each returns what is wrong, empty if nothing is. A secret is never repeated in the text.
std::string check_key_name(const std::string& name);
std::string check_algorithm(const std::string& algorithm);
std::string check_secret(const std::string& secret);

// A file as tsig-keygen prints it. The error names the file and what is wrong in it.
net::Result<TsigKey, std::string> read_key_file(const std::string& file);

}  // namespace portolan::dns
