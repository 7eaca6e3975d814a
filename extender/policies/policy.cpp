// SPDX-License-Identifier: Apache-2.0
#include "extender/policies/policy.hpp"

#include <limits>

namespace optipod::extender {

void Judgement::reset(std::size_t candidates) {
  score.assign(candidates, std::numeric_limits<double>::quiet_NaN());
  reject.assign(candidates, 0);
  memo.clear();
}

}  // namespace optipod::extender
