// SPDX-License-Identifier: Apache-2.0
//
// What the candidates of one question tell, on average: what a node is taken for where it is
// silent.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "extender/policies/policy.hpp"

namespace optipod::extender {

template <std::size_t N>
struct Told {
  std::array<double, N> mean;  ///< NaN where nobody tells
  std::array<std::size_t, N> count{};
};

/// Means of N fields over the candidates. `fields_of(row)` gives a row's fields, NaN where it is
/// silent, or null for a row that is not to be counted.
template <std::size_t N, class FieldsOf>
Told<N> told_by_candidates(const Question& question, FieldsOf fields_of) {
  Told<N> told;
  told.mean.fill(0);
  for (const std::uint32_t row : question.row) {
    const std::array<double, N>* fields = row == NodeTable::kUnknown ? nullptr : fields_of(row);
    if (fields == nullptr) continue;
    for (std::size_t f = 0; f < N; ++f) {
      const double v = (*fields)[f];  // without a branch: which are silent is hard to guess
      told.mean[f] += std::isnan(v) ? 0 : v;
      told.count[f] += std::isnan(v) ? 0 : 1;
    }
  }
  for (std::size_t f = 0; f < N; ++f) {
    told.mean[f] =
        told.count[f] == 0 ? kMissing : told.mean[f] / static_cast<double>(told.count[f]);
  }
  return told;
}

}  // namespace optipod::extender
