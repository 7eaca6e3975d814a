// SPDX-License-Identifier: Apache-2.0
#include "common/kube/json.hpp"

#define SIMDJSON_EXCEPTIONS 0  // so that no result can be taken without looking at its error
#include <simdjson.h>

#include "common/http/message.hpp"

namespace optipod::kube {
namespace {

namespace od = simdjson::ondemand;
using Status = simdjson::error_code;
constexpr Status kOk = simdjson::SUCCESS;
static_assert(http::kBodyPadding >= simdjson::SIMDJSON_PADDING);

/// Calls `member` with each key and value of the object; stops at its first error.
template <class Member>
Status members(od::object& object, const Member& member) {
  for (auto field : object) {
    std::string_view key;
    if (const Status status = field.unescaped_key().get(key); status != kOk) return status;
    if (const Status status = member(key, field.value()); status != kOk) return status;
  }
  return kOk;
}

/// The same for a value that must be an object.
template <class Member>
Status members_of(simdjson::simdjson_result<od::value> value, const Member& member) {
  od::object object;
  if (const Status status = value.get_object().get(object); status != kOk) return status;
  return members(object, member);
}

Status copy_string(simdjson::simdjson_result<od::value> value, std::string& out) {
  std::string_view text;
  const Status status = value.get_string().get(text);
  if (status == kOk) out = text;
  return status;
}

/// The text of an object, without what follows it. On malformed input simdjson may skip to another
/// end than the object's.
Status raw_text(od::object& object, std::string_view& out) {
  const Status status = object.raw_json().get(out);
  if (status != kOk) return status;
  out = out.substr(0, out.find_last_not_of(" \t\r\n") + 1);
  const bool whole = out.size() >= 2 && out.front() == '{' && out.back() == '}';
  return whole ? kOk : simdjson::TAPE_ERROR;
}

std::string malformed(const char* what, Status status) {
  return std::string("malformed ") + what + ": " + simdjson::error_message(status);
}

/// Opens a text as an object.
Status open(od::parser& parser, std::string_view json, od::document& document, od::object& object) {
  const simdjson::padded_string_view text(json.data(), json.size(),
                                          json.size() + http::kBodyPadding);
  if (const Status status = parser.iterate(text).get(document); status != kOk) return status;
  return document.get_object().get(object);
}

/// Whether nothing comes behind the object that was read.
bool is_over(od::document& document) {
  return document.current_location().error() == simdjson::OUT_OF_BOUNDS;
}

}  // namespace

bool parse_json_status(std::string_view json, ApiStatus& out) {
  const simdjson::padded_string text(json);
  od::parser parser;
  od::document document;
  od::object object;
  if (parser.iterate(text).get(document) != kOk || document.get_object().get(object) != kOk) {
    return false;
  }
  bool is_status = false;
  const Status status = members(object, [&](std::string_view key, auto value) {
    if (key == "kind") {
      std::string kind;
      const Status read = copy_string(value, kind);
      is_status = kind == "Status";
      return read;
    }
    if (key == "reason") return copy_string(value, out.reason);
    if (key == "message") return copy_string(value, out.message);
    if (key == "code") {
      std::uint64_t code = 0;
      const Status read = value.get_uint64().get(code);
      out.code = code < 1000 ? static_cast<unsigned>(code) : 0;
      return read;
    }
    return kOk;
  });
  return status == kOk && is_status;
}

tl::expected<PodBinding, std::string> parse_pod_binding(std::string_view json) {
  const simdjson::padded_string text(json);
  od::parser parser;
  od::document document;
  od::object object;
  PodBinding out;
  Status status = parser.iterate(text).get(document);
  if (status == kOk) status = document.get_object().get(object);
  if (status == kOk) {
    status = members(object, [&](std::string_view key, auto value) {
      if (key != "metadata" && key != "spec") return kOk;
      const std::string_view wanted = key == "spec" ? "nodeName" : "uid";
      std::string& into = key == "spec" ? out.node : out.uid;
      return members_of(value, [&](std::string_view name, auto inner) {
        return name == wanted ? copy_string(inner, into) : kOk;
      });
    });
  }
  if (status != kOk) return tl::unexpected(malformed("pod", status));
  if (out.uid.empty()) return tl::unexpected(std::string("malformed pod: no metadata.uid"));
  return out;
}

struct JsonReader::Impl {
  od::parser parser;
};

JsonReader::JsonReader() : impl_(std::make_unique<Impl>()) {}
JsonReader::~JsonReader() = default;

namespace {

Status page_metadata(simdjson::simdjson_result<od::value> value, ListPage& out) {
  return members_of(value, [&](std::string_view key, auto member) {
    if (key == "resourceVersion") return copy_string(member, out.resource_version);
    if (key == "continue") return copy_string(member, out.continue_token);
    return kOk;
  });
}

/// `enough`: the receiver wants no more.
Status page_items(simdjson::simdjson_result<od::value> value, const ObjectSink& object,
                  ListPage& out, bool& enough) {
  bool null = false;
  if (const Status status = value.is_null().get(null); status != kOk) return status;
  if (null) return kOk;  // how Go writes an empty list
  od::array items;
  if (const Status status = value.get_array().get(items); status != kOk) return status;
  for (auto item : items) {
    od::object one;
    std::string_view text;
    if (const Status status = item.get_object().get(one); status != kOk) return status;
    if (const Status status = raw_text(one, text); status != kOk) return status;
    ++out.objects;
    enough = !object(text);
    if (enough) return kOk;
  }
  return kOk;
}

}  // namespace

tl::expected<ListPage, std::string> JsonReader::read_page(std::string_view json,
                                                          const ObjectSink& object) {
  od::document document;
  od::object page;
  ListPage out;
  bool has_items = false;
  bool enough = false;
  Status status = open(impl_->parser, json, document, page);
  if (status == kOk) {
    status = members(page, [&](std::string_view key, auto value) {
      if (enough) return simdjson::F_ATOM_ERROR;  // not reached: ends the loop
      if (key == "metadata") return page_metadata(value, out);
      if (key != "items") return kOk;
      has_items = true;
      const Status read = page_items(value, object, out, enough);
      return enough ? simdjson::F_ATOM_ERROR : read;
    });
  }
  if (enough) return tl::unexpected(std::string("more objects than wanted"));
  if (status != kOk) return tl::unexpected(malformed("list", status));
  if (!is_over(document)) return tl::unexpected(std::string("malformed list: text behind it"));
  if (!has_items) return tl::unexpected(std::string("malformed list: no items"));
  if (out.resource_version.empty()) {
    return tl::unexpected(std::string("malformed list: no metadata.resourceVersion"));
  }
  return out;
}

namespace {

/// The version first, then the whole text: the order of an event's members is not promised.
Status event_object(simdjson::simdjson_result<od::value> value, WatchEvent& out) {
  od::object object;
  if (const Status status = value.get_object().get(object); status != kOk) return status;
  auto metadata = object.find_field_unordered("metadata");
  const Status found = metadata.error();
  if (found == kOk) {
    const Status status = members_of(metadata, [&](std::string_view key, auto member) {
      return key == "resourceVersion" ? copy_string(member, out.resource_version) : kOk;
    });
    if (status != kOk) return status;
  } else if (found != simdjson::NO_SUCH_FIELD) {
    return found;
  }
  if (const Status status = object.reset().error(); status != kOk) return status;
  return raw_text(object, out.object);
}

}  // namespace

tl::expected<WatchEvent, std::string> JsonReader::read_event(std::string_view json) {
  od::document document;
  od::object event;
  WatchEvent out;
  std::string type;
  Status status = open(impl_->parser, json, document, event);
  if (status == kOk) {
    status = members(event, [&](std::string_view key, auto value) {
      if (key == "type") return copy_string(value, type);
      return key == "object" ? event_object(value, out) : kOk;
    });
  }
  if (status != kOk) return tl::unexpected(malformed("event", status));
  if (!is_over(document)) return tl::unexpected(std::string("malformed event: text behind it"));
  if (const std::string wrong = complete_event(type, out); !wrong.empty()) {
    return tl::unexpected("malformed event: " + wrong);
  }
  return out;
}

}  // namespace optipod::kube
