// SPDX-License-Identifier: Apache-2.0
//
// Objects as the Kubernetes API's lists and watches give them: pods and nodes, and of these only
// what placing needs.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <tl/expected.hpp>

#include "extender/wire/pod.hpp"

namespace optipod::extender::wire {

/// Views are valid as long as the text.
struct NodeObject {
  std::string_view name;
  Resources allocatable;
  /// kube-safe-scheduler's annotation congestion-factor; NaN when there is none or it is no number.
  double congestion = 0;
  unsigned bad_quantities = 0;
};

/// Keeps the parser's memory. Not thread-safe: one for each reflector's thread. Texts need
/// http::kBodyPadding readable bytes behind them; results are valid until the next call.
class ObjectReader {
 public:
  explicit ObjectReader(ResourceNames names);
  ~ObjectReader();
  ObjectReader(const ObjectReader&) = delete;
  ObjectReader& operator=(const ObjectReader&) = delete;

  /// The error says what is wrong with the text.
  tl::expected<Pod, std::string> pod(std::string_view json);
  tl::expected<NodeObject, std::string> node(std::string_view json);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace optipod::extender::wire
