// SPDX-License-Identifier: Apache-2.0
#include "extender/policies/template/template.hpp"

#include <algorithm>
#include <cmath>

namespace optipod::extender {

void Template::judge(const Question& question, Judgement& out) const {
  static constexpr std::string_view kLosses[] = {"cpu"};
  out.reset(question.size, kLosses);
  for (std::size_t i = 0; i < question.size; ++i) {
    const double busy = std::fmax(question[Signal::kCpuUtilization15s][i],
                                  question[Signal::kCpuUtilization1m][i]);  // NaN: the other one
    if (std::isnan(busy)) continue;
    out.losses[0].share[i] = std::min(busy, 1.0);
    out.score[i] = 1 - out.losses[0].share[i];
  }
}

}  // namespace optipod::extender
