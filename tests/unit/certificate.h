// A self-signed certificate for 127.0.0.1 and localhost in files of the test, made by OpenSSL's own program.
#pragma once

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace portolan {

struct CertificateFiles {
  std::string certificate, key;
  CertificateFiles(const std::string& folder, const std::string& name)
      : certificate(folder + "/" + name + ".pem"), key(folder + "/" + name + ".key") {
    const std::string command =
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=" + name +
        " -addext subjectAltName=IP:127.0.0.1,DNS:localhost -keyout " + key + " -out " + certificate + " 2>/dev/null";
    if (std::system(command.c_str()) != 0) throw std::runtime_error("openssl req: " + command);
  }
};

}  // namespace portolan
