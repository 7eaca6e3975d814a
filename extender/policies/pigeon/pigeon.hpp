// SPDX-License-Identifier: Apache-2.0
//
// Policy objectives over what Kubernetes has allocated: which placement leaves the whole cluster
// best? Formulas, sources and examples: docs/policies/pigeon.md
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "extender/policies/policy.hpp"

namespace optipod::extender {

enum class PigeonObjective : std::uint8_t {
  kLoadBalance,  ///< the nodes' utilisations alike
  kConsolidate,  ///< nodes full, or empty
  kABinpack,     ///< the nodes' free room varied as the pods' demand is
};

/// By its name, LOAD_BALANCE, CONSOLIDATE or A_BINPACK; the error lists them.
tl::expected<PigeonObjective, std::string> pigeon_objective(std::string_view name);

/// What NUM_RESOURCES = n takes the first n of.
inline constexpr std::array<std::string_view, 5> kPigeonResources{
    "cpu", "memory", "pods", "nvidia.com/gpu", "ephemeral-storage"};

struct PigeonParameters {
  PigeonObjective objective = PigeonObjective::kABinpack;
  /// 1 to 5 positions in wire::Resources. The first is the one that LOAD_BALANCE and CONSOLIDATE
  /// look at; a pod has to fit in all.
  std::vector<std::size_t> resources{wire::kCpu, wire::kMemory};
  bool operator==(const PigeonParameters&) const = default;
};

/// "" if they can be used; else what is wrong and what to do.
std::string problem(const PigeonParameters& parameters);

class Pigeon final : public Policy {
 public:
  /// `parameters` have no problem().
  explicit Pigeon(PigeonParameters parameters = {}) : p_(std::move(parameters)) {}

  [[nodiscard]] std::string_view name() const override { return "pigeon"; }
  [[nodiscard]] SignalSet needs() const override { return {}; }
  [[nodiscard]] std::shared_ptr<const Prepared> prepare(const Snapshot& snapshot) const override;
  void judge(const Question& question, const Prepared* prepared, Judgement& out) const override;
  [[nodiscard]] std::span<const std::string_view> terms() const override;
  void explain(const Question& question, const Prepared* prepared, const Judgement& judged,
               std::size_t candidate, std::span<double> values) const override;
  [[nodiscard]] bool absolute() const override { return true; }

 private:
  PigeonParameters p_;
};

}  // namespace optipod::extender
