// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/http/message.hpp"

namespace optipod::http {

/// Requests that got the overload answer, by cause. Written by any thread.
struct TurnedAway {
  std::atomic<std::uint64_t> queue_full{0}, deadline{0};
};

struct Route {
  std::string method, path;
  Handler handler;
  RouteOptions options;
  std::unique_ptr<TurnedAway> turned_away = std::make_unique<TurnedAway>();  ///< never null
};

/// Which handler answers what: a handful of routes, compared one by one. Exact paths come before
/// prefixes ("/x/*"), longer prefixes before shorter ones.
class Router {
 public:
  void add(std::string_view method, std::string_view path, Handler handler,
           RouteOptions options = {});

  struct Match {
    const Route* route = nullptr;  ///< null: 404, or 405 when `allow` is not empty
    std::string allow;             ///< methods the path has
  };
  /// A HEAD finds the route of GET when it has none of its own.
  [[nodiscard]] Match find(std::string_view method, std::string_view path) const;
  [[nodiscard]] const std::vector<Route>& routes() const { return routes_; }

 private:
  std::vector<Route> routes_;
};

}  // namespace optipod::http
