// SPDX-License-Identifier: Apache-2.0
#include "extender/feeds/profiles.hpp"

#include <cmath>
#include <unordered_map>

#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include "common/text/parse.hpp"

namespace optipod::extender {
namespace {

class Sink final : public text::ParseSink {
 public:
  explicit Sink(const ClusterState& state) : state_(state) {}

  void sample(const text::Sample& sample) override {
    double Sum::*quantity = sample.name == kPodCpu      ? &Sum::cpu
                            : sample.name == kPodMemory ? &Sum::memory
                                                        : nullptr;
    if (quantity == nullptr || !std::isfinite(sample.value) || sample.value < 0) return;
    const std::uint64_t workload = state_.workload(sample.label("namespace"), sample.label("pod"));
    if (workload == 0) return;
    Sum& sum = sums[workload];
    sum.*quantity += sample.value;
    (quantity == &Sum::cpu ? sum.cpu_pods : sum.memory_pods) += 1;
  }

  struct Sum {
    double cpu = 0, memory = 0, cpu_pods = 0, memory_pods = 0;
  };
  std::unordered_map<std::uint64_t, Sum> sums;  // by workload

 private:
  const ClusterState& state_;
};

}  // namespace

tl::expected<std::size_t, std::string> learn(std::string_view federated, const ClusterState& state,
                                             Workloads& workloads) {
  Sink sink(state);
  const auto parsed = text::parse(federated, sink);
  if (!parsed) {
    return tl::unexpected(fmt::format("line {}: {}", parsed.error().line, parsed.error().what));
  }
  std::size_t learned = 0;
  for (const auto& [workload, sum] : sink.sums) {
    if (sum.cpu_pods == 0 || sum.memory_pods == 0) continue;
    workloads.learn(workload, {sum.cpu / sum.cpu_pods, sum.memory / sum.memory_pods});
    ++learned;
  }
  workloads.end_round();
  return learned;
}

ProfilesFeed::ProfilesFeed(SourceOptions options, const ClusterState& state, Workloads& workloads,
                           Metrics& metrics)
    : state_(state),
      workloads_(workloads),
      metrics_(metrics),
      source_(std::move(options),
              [this](const Fetched& fetched, std::chrono::nanoseconds) { take(fetched); }) {}

void ProfilesFeed::take(const Fetched& fetched) {
  std::string wrong;
  if (fetched.result == Fetched::Result::kOk) {
    const auto learned = learn(fetched.text, state_, workloads_);
    if (!learned) wrong = learned.error();
  } else {
    wrong = fetched.text;
  }
  metrics_.profiles_refreshed(wrong.empty());
  if (!wrong.empty() && !failing_) {
    spdlog::warn(
        "what pods use is not known anew: {}; pods are expected to use what was learned, "
        "else what they request",
        wrong);
  }
  failing_ = !wrong.empty();
}

}  // namespace optipod::extender
