// SPDX-License-Identifier: Apache-2.0
//
// What the Kubernetes API says as application/vnd.kubernetes.protobuf: pages, events and Status
// objects, split into the messages of objects without copying them. Any bytes are safe. Field
// numbers: generated.proto of apimachinery's runtime and meta/v1.
#pragma once

#include <string>
#include <string_view>

#include <tl/expected.hpp>

#include "common/kube/messages.hpp"

namespace optipod::kube {

/// Whether it begins as the API's envelope does (runtime.Unknown behind a magic), which no JSON
/// does.
bool is_protobuf(std::string_view body);

bool parse_protobuf_status(std::string_view body, ApiStatus& out);

/// A list of objects. What follows the first error has not been given to `object`. Views lead into
/// `body`.
tl::expected<ListPage, std::string> read_protobuf_page(std::string_view body,
                                                       const ObjectSink& object);
/// One frame of a watch.
tl::expected<WatchEvent, std::string> read_protobuf_event(std::string_view frame);

}  // namespace optipod::kube
