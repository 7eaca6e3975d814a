// SPDX-License-Identifier: Apache-2.0
// The stock Go extender of peers/go_extender, built and started where Go is installed; and a client
// that keeps its connection, as kube-scheduler does.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace optipod::bench {

/// A kept-alive HTTP/1.1 connection to loopback. Throws std::runtime_error when anything fails.
class Connection {
 public:
  explicit Connection(std::uint16_t port);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  /// Sends a POST and returns the reply's body; a status other than 200 is a failure.
  std::string post(const std::string& path, const std::string& body);

 private:
  int fd_ = -1;
};

class GoExtender {
 public:
  /// nullptr where there is no Go; `why` tells.
  static std::unique_ptr<GoExtender> start(const std::string& source_dir, std::string& why);
  ~GoExtender();
  [[nodiscard]] std::uint16_t port() const { return port_; }

 private:
  GoExtender() = default;
  int pid_ = -1;
  int stdin_ = -1;
  std::uint16_t port_ = 0;
  std::string dir_;
};

}  // namespace optipod::bench
