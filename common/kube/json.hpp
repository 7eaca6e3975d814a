// SPDX-License-Identifier: Apache-2.0
//
// What the Kubernetes API says, read with simdjson on demand: no document is built, and what
// nobody needs is skipped.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <tl/expected.hpp>

namespace optipod::kube {

/// The API's Status object: why something failed.
struct ApiStatus {
  unsigned code = 0;  ///< as an HTTP status
  std::string reason, message;
};
/// Members that are missing stay as they are. False: not a Status. Any text; copies it.
bool parse_status(std::string_view json, ApiStatus& out);

/// What says where a pod runs, and which pod of its name it is.
struct PodBinding {
  std::string uid, node;
};
tl::expected<PodBinding, std::string> parse_pod_binding(std::string_view json);

struct ListPage {
  std::string resource_version;
  std::string continue_token;  ///< "": the last page
  std::size_t objects = 0;
};

struct WatchEvent {
  enum class Type { kAdded, kModified, kDeleted, kBookmark, kError };
  Type type = Type::kError;
  std::string_view object;       ///< its text
  std::string resource_version;  ///< metadata.resourceVersion; of kError: ""
};

/// Splits pages and events into objects. Texts must have http::kBodyPadding readable bytes behind
/// them; views stay inside the text. Keeps memory in proportion to the longest text.
class ApiReader {
 public:
  ApiReader();
  ~ApiReader();
  ApiReader(const ApiReader&) = delete;
  ApiReader& operator=(const ApiReader&) = delete;

  /// False ends the reading, as an error.
  using Object = std::function<bool(std::string_view json)>;
  /// A list of objects. What follows the first error has not been given to `object`.
  tl::expected<ListPage, std::string> read_page(std::string_view json, const Object& object);
  tl::expected<WatchEvent, std::string> read_event(std::string_view json);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace optipod::kube
