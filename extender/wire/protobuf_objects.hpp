// SPDX-License-Identifier: Apache-2.0
// Reads v1.Pod and v1.Node as Kubernetes' protobuf; for wire/ only.
#pragma once

#include <string>
#include <string_view>

#include "extender/wire/objects.hpp"
#include "extender/wire/pod.hpp"

namespace optipod::extender::wire {

/// "" when the message was read, else what is wrong with it. Views lead into the message. Text that
/// is not UTF-8 counts as absent, as a member of another type does in JSON: users choose
/// annotations and owners, and must not be able to end a watch with them. Field numbers:
/// generated.proto of k8s.io/api/core/v1 and of apimachinery's meta/v1.
std::string read_protobuf_pod(const ResourceNames& names, std::string_view message, Pod& pod);
std::string read_protobuf_node(const ResourceNames& names, std::string_view message,
                               NodeObject& node);

}  // namespace optipod::extender::wire
