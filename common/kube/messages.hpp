// SPDX-License-Identifier: Apache-2.0
//
// What the Kubernetes API says, whichever way it is written: json.hpp and protobuf.hpp read it.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace optipod::kube {

enum class Encoding { kJson, kProtobuf };
/// The media type of the latter.
inline constexpr std::string_view kProtobufType = "application/vnd.kubernetes.protobuf";

/// One object of a list or an event. JSON: it begins with { and ends with }, with
/// http::kBodyPadding readable bytes behind; what is between is not validated. Protobuf: its
/// message, without an envelope and not validated.
struct EncodedObject {
  Encoding encoding = Encoding::kJson;
  std::string_view bytes;
};

/// The API's Status object: why something failed.
struct ApiStatus {
  unsigned code = 0;  ///< as an HTTP status
  std::string reason, message;
};
/// A body in either encoding; any bytes; copies them. Members that are missing stay as they are.
/// False: not a Status.
bool parse_status(std::string_view body, ApiStatus& out);

struct ListPage {
  std::string resource_version;
  std::string continue_token;  ///< "": the last page
  std::size_t objects = 0;
};
/// Takes an object's bytes. False ends the reading of a page, as an error.
using ObjectSink = std::function<bool(std::string_view bytes)>;

struct WatchEvent {
  enum class Type { kAdded, kModified, kDeleted, kBookmark, kError };
  Type type = Type::kError;
  std::string_view object;       ///< as EncodedObject::bytes; of kError: as parse_status() reads it
  std::string resource_version;  ///< metadata.resourceVersion; of kError: ""
};

/// "" when `event` has all that its type needs; else what is wrong. `type`: its name.
std::string complete_event(std::string_view type, WatchEvent& event);

}  // namespace optipod::kube
