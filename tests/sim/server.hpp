// SPDX-License-Identifier: Apache-2.0
//
// One listener that is every node: node i answers at the loopback address that address_of(i) names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include <tl/expected.hpp>

#include "tests/sim/clock.hpp"
#include "tests/sim/page.hpp"

namespace optipod::sim {

std::int64_t unix_ms();  ///< now

/// 127.1.1.1 and on; without addresses that end in 0 or 255.
std::string address_of(std::size_t node);

struct ServerOptions {
  std::size_t nodes = 1;
  std::uint16_t port = 19000;
  NodeClock clock;
};

/// Answers every GET with the node's page, uncompressed, over kept-alive connections; one thread.
class Server {
 public:
  static tl::expected<std::unique_ptr<Server>, std::string> listen(ServerOptions options,
                                                                   Page page);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  void run();                                 ///< until stop()
  void stop();                                ///< from any thread
  [[nodiscard]] std::uint64_t pages() const;  ///< served so far; after run() has returned

 private:
  struct State;
  explicit Server(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace optipod::sim
