// SPDX-License-Identifier: Apache-2.0
#include "aggregator/discovery/endpoint_slice.hpp"

#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "common/kube/protobuf_fields.hpp"
#include "common/text/utf8.hpp"

namespace optipod::aggregator {
namespace {

using kube::each_field;
using kube::Field;
using Read = tl::expected<EndpointSlice, std::string>;
using Json = nlohmann::json;

/// A member that may be absent or null; "" then, and for another type.
std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

const Json& list_of(const Json& object, const char* key) {
  static const Json kNone = Json::array();
  const auto found = object.find(key);
  return found != object.end() && found->is_array() ? *found : kNone;
}

bool is_ready(const Json& endpoint) {
  const auto conditions = endpoint.find("conditions");
  if (conditions == endpoint.end() || !conditions->is_object()) return true;
  const auto ready = conditions->find("ready");
  return ready == conditions->end() || !ready->is_boolean() || ready->get<bool>();
}

void read_endpoint(const Json& json, EndpointSlice& out) {
  if (!json.is_object() || !is_ready(json)) return;
  const Json& addresses = list_of(json, "addresses");
  // They are interchangeable; the first is the one to use.
  if (addresses.empty() || !addresses[0].is_string()) return;
  out.endpoints.push_back({addresses[0].get<std::string>(), text_of(json, "nodeName")});
}

void add_port(std::string name, std::uint64_t number, EndpointSlice& out) {
  if (number == 0 || number > 65'535) return;
  out.ports.push_back({std::move(name), static_cast<std::uint16_t>(number)});
}

void read_port(const Json& json, EndpointSlice& out) {
  if (!json.is_object()) return;
  const auto port = json.find("port");
  if (port == json.end() || !port->is_number_unsigned()) return;
  add_port(text_of(json, "name"), port->get<std::uint64_t>(), out);
}

Read from_json(std::string_view json) {
  const Json root = Json::parse(json, nullptr, false);
  if (!root.is_object()) return tl::unexpected(std::string("malformed EndpointSlice"));
  const auto metadata = root.find("metadata");
  EndpointSlice out;
  if (metadata != root.end() && metadata->is_object()) out.name = text_of(*metadata, "name");
  const std::string type = text_of(root, "addressType");
  out.v6 = type == "IPv6";
  for (const Json& port : list_of(root, "ports")) read_port(port, out);
  if (type == "FQDN") return out;
  for (const Json& endpoint : list_of(root, "endpoints")) read_endpoint(endpoint, out);
  return out;
}

// Field numbers, by message.
namespace slice_field {
constexpr std::uint32_t kMetadata = 1, kEndpoints = 2, kPorts = 3, kAddressType = 4;
}
namespace endpoint_field {
constexpr std::uint32_t kAddresses = 1, kConditions = 2, kNodeName = 6;
}
constexpr std::uint32_t kMetadataName = 1, kConditionsReady = 1, kPortName = 1, kPortNumber = 3;

std::string text_of(const Field& field) {
  if (!text::utf8_valid(field.bytes())) throw kube::WrongFieldType();
  return std::string(field.bytes());
}

void read_endpoint(std::string_view message, EndpointSlice& out) {
  EndpointSlice::Endpoint endpoint;
  bool ready = true;
  each_field(message, [&](const Field& field) {
    if (field.number() == endpoint_field::kNodeName) endpoint.node = text_of(field);
    if (field.number() == endpoint_field::kAddresses && endpoint.address.empty()) {
      endpoint.address = text_of(field);
    }
    if (field.number() != endpoint_field::kConditions) return;
    each_field(field.bytes(), [&](const Field& condition) {
      if (condition.number() == kConditionsReady) ready = condition.integer() != 0;
    });
  });
  if (ready && !endpoint.address.empty()) out.endpoints.push_back(std::move(endpoint));
}

void read_port(std::string_view message, EndpointSlice& out) {
  std::string name;
  std::uint64_t number = 0;
  each_field(message, [&](const Field& field) {
    if (field.number() == kPortName) name = text_of(field);
    if (field.number() == kPortNumber) number = field.integer();
  });
  add_port(std::move(name), number, out);
}

Read from_protobuf(std::string_view message) {
  EndpointSlice out;
  std::string type;
  try {
    each_field(message, [&](const Field& field) {
      if (field.number() == slice_field::kAddressType) type = text_of(field);
      if (field.number() == slice_field::kEndpoints) read_endpoint(field.bytes(), out);
      if (field.number() == slice_field::kPorts) read_port(field.bytes(), out);
      if (field.number() != slice_field::kMetadata) return;
      each_field(field.bytes(), [&](const Field& metadata) {
        if (metadata.number() == kMetadataName) out.name = text_of(metadata);
      });
    });
  } catch (const protozero::exception& error) {
    return tl::unexpected(fmt::format("malformed EndpointSlice: {}", error.what()));
  }
  out.v6 = type == "IPv6";
  if (type == "FQDN") out.endpoints.clear();
  return out;
}

}  // namespace

Read read_endpoint_slice(const kube::EncodedObject& object) {
  auto slice = object.encoding == kube::Encoding::kProtobuf ? from_protobuf(object.bytes)
                                                            : from_json(object.bytes);
  if (slice && slice->name.empty()) {
    return tl::unexpected(std::string("malformed EndpointSlice: no metadata.name"));
  }
  return slice;
}

}  // namespace optipod::aggregator
