// SPDX-License-Identifier: Apache-2.0
#include "common/http/router.hpp"

#include <algorithm>
#include <utility>

namespace optipod::http {
namespace {

bool is_prefix(std::string_view path) {
  return path.ends_with("/*");
}

bool matches(std::string_view pattern, std::string_view path) {
  if (!is_prefix(pattern)) return pattern == path;
  return path.starts_with(pattern.substr(0, pattern.size() - 1));
}

}  // namespace

void Router::add(std::string_view method, std::string_view path, Handler handler,
                 RouteOptions options) {
  routes_.push_back(
      {std::string(method), std::string(path), std::move(handler), std::move(options)});
  std::stable_sort(routes_.begin(), routes_.end(), [](const Route& a, const Route& b) {
    if (is_prefix(a.path) != is_prefix(b.path)) return is_prefix(b.path);
    return a.path.size() > b.path.size();
  });
}

Router::Match Router::find(std::string_view method, std::string_view path) const {
  Match match;
  std::string_view pattern;
  const Route* get = nullptr;
  for (const Route& route : routes_) {
    if (pattern.empty() ? !matches(route.path, path) : route.path != pattern) continue;
    pattern = route.path;  // the best pattern decides, whatever its methods
    if (route.method == method) return {&route, {}};
    if (route.method == "GET") get = &route;
    if (!match.allow.empty()) match.allow += ", ";
    match.allow += route.method == "GET" ? "GET, HEAD" : route.method;
  }
  if (method == "HEAD" && get != nullptr) return {get, {}};
  return match;
}

}  // namespace optipod::http
