// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace optipod::http {

/// How to speak TLS with a server. All texts are PEM, in memory.
struct TlsOptions {
  std::string ca_pem;  ///< whom to trust: one certificate or several; "": the system's
  std::string certificate_pem, key_pem;  ///< who we are: a chain and its key; both or none
  std::string server_name;  ///< what the certificate must be for, and SNI; "": the URL's host
  bool verify = true;       ///< false trusts anybody
};

}  // namespace optipod::http
