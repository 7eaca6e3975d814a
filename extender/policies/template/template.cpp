// SPDX-License-Identifier: Apache-2.0
#include "extender/policies/template/template.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace optipod::extender {

void Template::judge(const Question& question, const Prepared*, Judgement& out) const {
  for (std::size_t i = 0; i < question.size(); ++i) {
    const double busy = std::fmax(question.value(Signal::kCpuUtilization15s, i),
                                  question.value(Signal::kCpuUtilization1m, i));  // NaN: the other
    if (!std::isnan(busy)) out.score[i] = 1 - std::min(busy, 1.0);
  }
}

std::span<const std::string_view> Template::terms() const {
  static constexpr std::array<std::string_view, 1> kTerms{"busy"};
  return kTerms;
}

void Template::explain(const Question&, const Prepared*, const Judgement& judged,
                       std::size_t candidate, std::span<double> values) const {
  values[0] = 1 - judged.score[candidate];
}

}  // namespace optipod::extender
