// SPDX-License-Identifier: Apache-2.0
#include "common/kube/messages.hpp"

#include <utility>

#include "common/kube/json.hpp"
#include "common/kube/protobuf.hpp"

namespace optipod::kube {
namespace {

bool type_of(std::string_view name, WatchEvent::Type& out) {
  using Type = WatchEvent::Type;
  static constexpr std::pair<std::string_view, Type> kTypes[] = {{"ADDED", Type::kAdded},
                                                                 {"MODIFIED", Type::kModified},
                                                                 {"DELETED", Type::kDeleted},
                                                                 {"BOOKMARK", Type::kBookmark},
                                                                 {"ERROR", Type::kError}};
  for (const auto& [known, type] : kTypes) {
    if (known == name) {
      out = type;
      return true;
    }
  }
  return false;
}

}  // namespace

bool parse_status(std::string_view body, ApiStatus& out) {
  return is_protobuf(body) ? parse_protobuf_status(body, out) : parse_json_status(body, out);
}

std::string complete_event(std::string_view type, WatchEvent& event) {
  if (!type_of(type, event.type)) {
    return "type \"" + std::string(type.substr(0, 32)) + "\" is not known";
  }
  if (event.object.empty()) return "no object";
  if (event.resource_version.empty() && event.type != WatchEvent::Type::kError) {
    return "no metadata.resourceVersion";
  }
  return {};
}

}  // namespace optipod::kube
