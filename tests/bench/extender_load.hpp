// SPDX-License-Identifier: Apache-2.0
// What bench extender asks about, and with which words: a cluster's measurements and
// kube-scheduler's requests. The same at every call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace optipod::bench {

inline constexpr std::size_t kNodes = 5000;

std::string node_name(std::size_t i);

/// A /federate answer: every signal of kNodes nodes, from not at all loaded to too much.
class View {
 public:
  View();
  /// As measured at `now_ms`.
  const std::string& at(std::int64_t now_ms);

 private:
  std::string text_;
};

/// Pods are this many different ones, so that as many stay booked.
inline constexpr std::size_t kPods = 400;

/// What kube-scheduler sends for a pod of a Deployment about `candidates` nodes in its own order,
/// which is not that of the names.
class Request {
 public:
  explicit Request(std::size_t candidates);
  /// For pod number `i` modulo kPods.
  const std::string& of(std::size_t i);

 private:
  std::string body_;
  std::size_t uid_at_;
};

}  // namespace optipod::bench
