// SPDX-License-Identifier: Apache-2.0
//
// Certificates made by the openssl program, once a process.
#pragma once

#include <cstdlib>
#include <string>

#include "tests/common/folder.hpp"
#include "tests/support/catch.hpp"

namespace optipod::http::test {

inline void openssl(const Folder& folder, const std::string& arguments) {
  const std::string command =
      "cd '" + folder.path() + "' && " OPTIPOD_OPENSSL " " + arguments + " >log 2>&1";
  if (std::system(command.c_str()) != 0) FAIL(command + "\n" + folder.read("log"));
}

/// Two authorities; a server's certificate of the first for names and addresses, one without
/// "127.0.0.1", one with a common name only, and clients of both.
struct Certificates {
  Certificates() {
    authority("ca");
    authority("other");
    make("server", "ca", "subjectAltName=DNS:kube.example,IP:127.0.0.1", 2);
    make("named", "ca", "subjectAltName=DNS:kube.example", 2);
    make("common", "ca", "subjectAltName=DNS:x.example", 2);
    make("client", "ca", "extendedKeyUsage=clientAuth", 2);
    make("scraper", "ca",
         "extendedKeyUsage=clientAuth\nsubjectAltName=DNS:scraper.example,IP:10.1.2.3", 2);
    make("stranger", "other", "extendedKeyUsage=clientAuth", 2);
  }
  void authority(const std::string& name) const {
    openssl(folder,
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout " + name +
                ".key -out " + name + ".crt -subj /CN=" + name);
  }
  void make(const std::string& name, const std::string& ca, const std::string& extension,
            int days) const {
    folder.write(name + ".ext", extension + "\n");
    // The subject's common name is what the server is called: it must not count.
    openssl(folder, "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout " + name +
                        ".key -out " + name + ".csr -subj /CN=kube.example");
    openssl(folder, "x509 -req -in " + name + ".csr -CA " + ca + ".crt -CAkey " + ca +
                        ".key -CAcreateserial -days " + std::to_string(days) + " -extfile " + name +
                        ".ext -out " + name + ".crt");
  }
  [[nodiscard]] std::string pem(const std::string& name) const { return folder.read(name); }
  Folder folder;
};
inline const Certificates& certificates() {
  static const Certificates all;
  return all;
}

}  // namespace optipod::http::test
