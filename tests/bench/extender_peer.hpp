// SPDX-License-Identifier: Apache-2.0
// Servers as processes of their own, so that their CPU time can be read; and a client that keeps
// its connection, as kube-scheduler does. Everything here throws std::runtime_error when it fails.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace optipod::bench {

/// A kept-alive HTTP/1.1 connection to loopback.
class Connection {
 public:
  explicit Connection(std::uint16_t port);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  /// Sends a POST and returns the reply's body, valid until the next call; a status other than 200
  /// is a failure.
  std::string_view post(std::string_view path, std::string_view body);

 private:
  std::size_t receive(std::string_view path);

  int fd_ = -1;
  std::string request_, reply_;
};

/// A server that was started and says where: a line that ends in "port N".
class ServerProcess {
 public:
  /// Its standard output and error are read up to that line.
  explicit ServerProcess(std::vector<std::string> command);
  ~ServerProcess();  ///< SIGTERM, and waits
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::string url(std::string_view path) const;
  /// Of all its threads so far, user and system.
  [[nodiscard]] double cpu_seconds() const;

 private:
  int pid_ = -1;
  int output_ = -1;
  std::uint16_t port_ = 0;
};

/// The stock Go extender of peers/go_extender, built into a directory that goes with it.
class GoExtender {
 public:
  /// null where there is no Go; `why` tells.
  static std::unique_ptr<GoExtender> start(const std::string& source_dir, std::string& why);
  ~GoExtender();
  [[nodiscard]] const ServerProcess& server() const { return *server_; }

  void load(const std::string& federate) const;
  /// Nanoseconds of each /prioritize since the last call.
  std::vector<double> durations() const;

 private:
  explicit GoExtender(std::string dir) : dir_(std::move(dir)) {}
  const std::string dir_;
  std::unique_ptr<ServerProcess> server_;
};

}  // namespace optipod::bench
