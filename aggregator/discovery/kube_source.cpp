// SPDX-License-Identifier: Apache-2.0
#include "aggregator/discovery/kube_source.hpp"

#include <algorithm>
#include <cctype>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "aggregator/discovery/endpoint_slices.hpp"
#include "common/kube/reflector.hpp"

namespace optipod::aggregator {
namespace {

/// The reflector's thread puts slices in, another takes targets out.
class SliceHandler final : public kube::Handler {
 public:
  explicit SliceHandler(std::string port) : slices_(std::move(port)) {}

  void begin_list() override {
    const std::lock_guard lock(mutex_);
    slices_.begin_list();
  }
  void object(const kube::EncodedObject& object) override {
    EndpointSlice slice = read(object);
    const std::lock_guard lock(mutex_);
    slices_.put(std::move(slice));
    changed_ = changed_ || complete_;
  }
  void deleted(const kube::EncodedObject& object) override {
    const EndpointSlice slice = read(object);
    const std::lock_guard lock(mutex_);
    slices_.erase(slice.name);
    changed_ = true;
  }
  void end_list() override {
    const std::lock_guard lock(mutex_);
    slices_.end_list();
    complete_ = changed_ = true;
  }
  void abandon_list() override {}

  /// What is new since the last call; none when nothing is, or no list has been complete yet.
  std::optional<std::vector<Target>> take(std::string& problem) {
    const std::lock_guard lock(mutex_);
    if (!std::exchange(changed_, false)) return std::nullopt;
    return slices_.targets(problem);
  }

 private:
  /// To go on without a slice would be to miss nodes: it ends the list or watch as an error.
  static EndpointSlice read(const kube::EncodedObject& object) {
    auto slice = read_endpoint_slice(object);
    if (!slice) throw std::runtime_error(slice.error());
    return std::move(*slice);
  }

  std::mutex mutex_;
  EndpointSlices slices_;  ///< these under mutex_
  bool complete_ = false, changed_ = false;
};

struct Service {
  std::string name_space, name, port;
};

kube::ReflectorOptions slices_of(const Service& service) {
  kube::ReflectorOptions options;
  options.resource =
      fmt::format("/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices", service.name_space);
  options.label_selector = "kubernetes.io/service-name=" + service.name;
  options.protobuf = true;
  return options;
}

class KubeSource final : public Source {
 public:
  KubeSource(const std::string& text, const Service& service, const kube::Client& client)
      : Source("kube-sd", text),
        handler_(service.port),
        reflector_(client, slices_of(service), handler_) {
    reflector_.start();
  }

  bool refresh(std::chrono::steady_clock::time_point /*now*/) override {
    const kube::ReflectorStatus status = reflector_.status();
    const bool news = status.last_heard != heard_ || status.failures != state_.failures ||
                      (status.state == kube::ReflectorStatus::State::kSynced) != synced_;
    auto list = handler_.take(slice_problem_);
    if (!news && !list) return false;
    if (list) {
      Source::take(std::move(*list));
    }
    if (status.last_heard != heard_) state_.last_success = unix_seconds();
    heard_ = status.last_heard;
    synced_ = status.state == kube::ReflectorStatus::State::kSynced;
    state_.refreshes = status.lists + status.events + status.bookmarks + status.failures;
    state_.failures = status.failures;
    state_.tried = state_.tried || status.complete || status.failures > 0;
    state_.good = synced_ && slice_problem_.empty();
    state_.problem.clear();
    if (!synced_ && status.failures > 0) {
      fail(status.last_error);
    } else if (!slice_problem_.empty()) {
      state_.problem = fmt::format("--kube-sd {}: {}", state_.name, slice_problem_);
    }
    return true;
  }

 private:
  SliceHandler handler_;
  kube::Reflector reflector_;  ///< after what it calls
  std::optional<std::chrono::steady_clock::time_point> heard_;
  bool synced_ = false;
  std::string slice_problem_;
};

/// A name of Kubernetes, as it may stand in a path.
bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= 253 && std::all_of(text.begin(), text.end(), [](char c) {
    return std::islower(static_cast<unsigned char>(c)) != 0 ||
           std::isdigit(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '.';
  });
}

}  // namespace

tl::expected<std::unique_ptr<Source>, std::string> make_kube_source(const std::string& text,
                                                                    const kube::Client& client) {
  const auto slash = text.find('/');
  const auto colon = text.find(':', slash == std::string::npos ? 0 : slash);
  Service service;
  if (slash != std::string::npos) {
    service.name_space = text.substr(0, slash);
    service.name = text.substr(slash + 1, std::min(colon, text.size()) - slash - 1);
    if (colon != std::string::npos) service.port = text.substr(colon + 1);
  }
  const bool port_good = colon == std::string::npos || is_name(service.port);
  if (!is_name(service.name_space) || !is_name(service.name) || !port_good) {
    return tl::unexpected(fmt::format(
        "--kube-sd {}: write NAMESPACE/SERVICE or NAMESPACE/SERVICE:PORT, for example --kube-sd "
        "optipod/optipod-exporter:metrics",
        text));
  }
  return std::make_unique<KubeSource>(text, service, client);
}

}  // namespace optipod::aggregator
