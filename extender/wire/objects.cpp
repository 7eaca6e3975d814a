// SPDX-License-Identifier: Apache-2.0
#include "extender/wire/objects.hpp"

#include <charconv>
#include <cmath>
#include <limits>

#include "common/http/message.hpp"
#include "extender/wire/pod_reader.hpp"
#include "extender/wire/protobuf_objects.hpp"

namespace optipod::extender::wire {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
/// The API server allows objects of 1.5 MiB, nested as deep as CRDs like; pods and nodes are not.
constexpr int kMaxDepth = 128;
/// Kubernetes' longest name.
constexpr std::size_t kMostName = 253;

}  // namespace

double congestion_of(std::string_view annotation) {
  double value = 0;
  const char* const last = annotation.data() + annotation.size();
  const auto [end, error] = std::from_chars(annotation.data(), last, value);
  return error == std::errc() && end == last && std::isfinite(value) ? value : kNan;
}

struct ObjectReader::Impl {
  explicit Impl(ResourceNames resource_names) : names(std::move(resource_names)) {}

  od::parser parser;
  ResourceNames names;

  /// Gives the whole text as one value to `read`.
  template <class Read>
  std::string parse(std::string_view json, Read read) {
    if (nests_deeper(json, kMaxDepth)) return "nested too deep";
    const simdjson::padded_string_view padded(json.data(), json.size(),
                                              json.size() + simdjson::SIMDJSON_PADDING);
    od::document document;
    od::value root;
    Status status = parser.iterate(padded).get(document);
    if (status == kOk) status = document.get_value().get(root);
    if (status == kOk) status = read(root);
    return status == kOk ? std::string() : simdjson::error_message(status);
  }

  Status node(od::value root, NodeObject& node) {
    return members(root, [&](std::string_view key, od::value member) {
      if (same_key(key, "metadata")) return node_metadata(member, node);
      if (same_key(key, "spec")) return node_spec(member, node);
      if (same_key(key, "status")) return node_status(member, node);
      return kOk;
    });
  }

  Status node_metadata(od::value value, NodeObject& node) {
    return members(value, [&node](std::string_view key, od::value member) {
      if (same_key(key, "name")) return read_text(member, node.name);
      if (same_key(key, "labels")) {
        return members(member, [&node](std::string_view name, od::value text) {
          return name == kZoneLabel ? read_text(text, node.zone) : kOk;
        });
      }
      if (!same_key(key, "annotations")) return kOk;
      return members(member, [&node](std::string_view name, od::value text) {
        if (name != kCongestionAnnotation) return kOk;
        std::string_view content;
        const Status status = read_text(text, content);
        node.congestion = congestion_of(content);
        return status;
      });
    });
  }

  Status node_spec(od::value value, NodeObject& node) {
    return members(value, [&node](std::string_view key, od::value taints) {
      if (!same_key(key, "taints")) return kOk;
      return elements(taints, [&node](od::value taint) {
        return members(taint, [&node](std::string_view member, od::value text) {
          if (!same_key(member, "effect")) return kOk;
          std::string_view effect;
          const Status status = read_text(text, effect);
          node.avoided = node.avoided || effect == kAvoidingEffect;
          return status;
        });
      });
    });
  }

  Status node_status(od::value value, NodeObject& node) {
    return members(value, [this, &node](std::string_view key, od::value member) {
      if (!same_key(key, "allocatable")) return kOk;
      ResourceList stated;
      const Status status = read_quantities(names, member, stated, node.bad_quantities);
      for (std::size_t r = 0; r < kMostResources; ++r) node.allocatable[r] = stated[r];
      return status;
    });
  }
};

ObjectReader::ObjectReader(ResourceNames names) : impl_(std::make_unique<Impl>(std::move(names))) {}
ObjectReader::~ObjectReader() = default;

tl::expected<Pod, std::string> ObjectReader::pod(const kube::EncodedObject& object) {
  Pod pod;
  std::string wrong = object.encoding == kube::Encoding::kProtobuf
                          ? read_protobuf_pod(impl_->names, object.bytes, pod)
                          : impl_->parse(object.bytes, [&](od::value root) {
                              return PodReader(impl_->names, pod).read(root);
                            });
  if (wrong.empty() && pod.uid.empty()) wrong = "no metadata.uid";
  if (wrong.empty() && pod.node_name.size() > kMostName) wrong = "spec.nodeName is too long";
  if (!wrong.empty()) return tl::unexpected("pod: " + wrong);
  return pod;
}

tl::expected<NodeObject, std::string> ObjectReader::node(const kube::EncodedObject& object) {
  NodeObject node{.congestion = kNan};
  std::string wrong =
      object.encoding == kube::Encoding::kProtobuf
          ? read_protobuf_node(impl_->names, object.bytes, node)
          : impl_->parse(object.bytes, [&](od::value root) { return impl_->node(root, node); });
  if (wrong.empty() && node.name.empty()) wrong = "no metadata.name";
  if (wrong.empty() && node.name.size() > kMostName) wrong = "metadata.name is too long";
  if (!wrong.empty()) return tl::unexpected("node: " + wrong);
  return node;
}

}  // namespace optipod::extender::wire
