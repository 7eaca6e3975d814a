// SPDX-License-Identifier: Apache-2.0
//
// What the Kubernetes API says as JSON, read with simdjson on demand: no document is built, and
// what nobody needs is skipped.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <tl/expected.hpp>

#include "common/kube/messages.hpp"

namespace optipod::kube {

/// Any text; copies it.
bool parse_json_status(std::string_view json, ApiStatus& out);

/// What says where a pod runs, and which pod of its name it is.
struct PodBinding {
  std::string uid, node;
};
tl::expected<PodBinding, std::string> parse_pod_binding(std::string_view json);

/// Splits pages and events into objects. Texts must have http::kBodyPadding readable bytes behind
/// them; views stay inside the text. Keeps memory in proportion to the longest text.
class JsonReader {
 public:
  JsonReader();
  ~JsonReader();
  JsonReader(const JsonReader&) = delete;
  JsonReader& operator=(const JsonReader&) = delete;

  /// A list of objects. What follows the first error has not been given to `object`.
  tl::expected<ListPage, std::string> read_page(std::string_view json, const ObjectSink& object);
  tl::expected<WatchEvent, std::string> read_event(std::string_view json);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace optipod::kube
