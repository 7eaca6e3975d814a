// SPDX-License-Identifier: Apache-2.0
//
// What the candidates of one question tell, on average: what a node is taken for where it is
// silent.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "extender/policies/pair.hpp"
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
  static_assert(N % 2 == 0);
  std::array<Pair, N / 2> sum{}, count{};
  for (const std::uint32_t row : question.row) {
    const std::array<double, N>* fields = row == NodeTable::kUnknown ? nullptr : fields_of(row);
    if (fields == nullptr) continue;
    for (std::size_t p = 0; p < sum.size(); ++p) {
      const Pair v = pair_at(&(*fields)[2 * p]);
      sum[p] += v == v ? v : Pair{};  // without a branch: which are silent is hard to guess
      count[p] += v == v ? pair(1) : Pair{};
    }
  }
  Told<N> told;
  for (std::size_t f = 0; f < N; ++f) {
    const double n = count[f / 2][f % 2];
    told.count[f] = static_cast<std::size_t>(n);
    told.mean[f] = n == 0 ? kMissing : sum[f / 2][f % 2] / n;
  }
  return told;
}

}  // namespace optipod::extender
