// SPDX-License-Identifier: Apache-2.0
//
// Objects as the Kubernetes API's lists and watches give them, as JSON or protobuf: pods and nodes,
// and of these only what placing needs.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <tl/expected.hpp>

#include "common/kube/messages.hpp"
#include "extender/wire/pod.hpp"

namespace optipod::extender::wire {

/// Views are valid as long as the object's bytes.
struct NodeObject {
  std::string_view name;
  Resources allocatable;
  /// kube-safe-scheduler's annotation; NaN when there is none or it is no number.
  double congestion = 0;
  unsigned bad_quantities = 0;
  bool avoided = false;   ///< by a taint PreferNoSchedule, whoever tolerates it
  std::string_view zone;  ///< "" when it has none
};

inline constexpr std::string_view kAvoidingEffect = "PreferNoSchedule";
inline constexpr std::string_view kZoneLabel = "topology.kubernetes.io/zone";

/// Of a node's annotation.
inline constexpr std::string_view kCongestionAnnotation = "congestion-factor";
/// NaN for what is no finite number.
double congestion_of(std::string_view annotation);

/// Keeps the parser's memory. Not thread-safe: one for each reflector's thread. Any bytes are safe;
/// results are valid until the next call.
class ObjectReader {
 public:
  explicit ObjectReader(ResourceNames names);
  ~ObjectReader();
  ObjectReader(const ObjectReader&) = delete;
  ObjectReader& operator=(const ObjectReader&) = delete;

  /// The error says what is wrong with the object.
  tl::expected<Pod, std::string> pod(const kube::EncodedObject& object);
  tl::expected<NodeObject, std::string> node(const kube::EncodedObject& object);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace optipod::extender::wire
