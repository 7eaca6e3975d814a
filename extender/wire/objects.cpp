// SPDX-License-Identifier: Apache-2.0
#include "extender/wire/objects.hpp"

#include <charconv>
#include <cmath>
#include <limits>

#include "common/http/message.hpp"
#include "extender/wire/pod_reader.hpp"

namespace optipod::extender::wire {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
/// The API server allows objects of 1.5 MiB, nested as deep as CRDs like; pods and nodes are not.
constexpr int kMaxDepth = 128;

double number_or_nan(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && std::isfinite(value) ? value
                                                                                          : kNan;
}

}  // namespace

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

  Status node_metadata(od::value value, NodeObject& node) {
    return members(value, [&node](std::string_view key, od::value member) {
      if (same_key(key, "name")) return read_text(member, node.name);
      if (!same_key(key, "annotations")) return kOk;
      return members(member, [&node](std::string_view name, od::value text) {
        if (name != "congestion-factor") return kOk;
        std::string_view content;
        const Status status = read_text(text, content);
        node.congestion = number_or_nan(content);
        return status;
      });
    });
  }

  Status node_status(od::value value, NodeObject& node) {
    return members(value, [this, &node](std::string_view key, od::value member) {
      if (!same_key(key, "allocatable")) return kOk;
      std::array<std::optional<double>, kMostResources> stated;
      const Status status = read_quantities(names, member, stated, node.bad_quantities);
      for (std::size_t r = 0; r < kMostResources; ++r) node.allocatable[r] = stated[r].value_or(0);
      return status;
    });
  }
};

ObjectReader::ObjectReader(ResourceNames names) : impl_(std::make_unique<Impl>(std::move(names))) {}
ObjectReader::~ObjectReader() = default;

tl::expected<Pod, std::string> ObjectReader::pod(std::string_view json) {
  Pod pod;
  std::string wrong =
      impl_->parse(json, [&](od::value root) { return PodReader(impl_->names, pod).read(root); });
  if (wrong.empty() && pod.uid.empty()) wrong = "no metadata.uid";
  if (!wrong.empty()) return tl::unexpected("pod: " + wrong);
  return pod;
}

tl::expected<NodeObject, std::string> ObjectReader::node(std::string_view json) {
  NodeObject node{.congestion = kNan};
  std::string wrong = impl_->parse(json, [&](od::value root) {
    return members(root, [&](std::string_view key, od::value member) {
      if (same_key(key, "metadata")) return impl_->node_metadata(member, node);
      if (same_key(key, "status")) return impl_->node_status(member, node);
      return kOk;
    });
  });
  if (wrong.empty() && node.name.empty()) wrong = "no metadata.name";
  if (!wrong.empty()) return tl::unexpected("node: " + wrong);
  return node;
}

}  // namespace optipod::extender::wire
