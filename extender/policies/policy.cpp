// SPDX-License-Identifier: Apache-2.0
#include "extender/policies/policy.hpp"

#include <limits>

namespace optipod::extender {

void Judgement::reset(std::size_t candidates, std::span<const std::string_view> loss_names) {
  score.assign(candidates, std::numeric_limits<double>::quiet_NaN());
  reject.assign(candidates, 0);
  losses.resize(loss_names.size());
  for (std::size_t i = 0; i < loss_names.size(); ++i) {
    losses[i].name = loss_names[i];
    losses[i].share.assign(candidates, 0);
  }
}

}  // namespace optipod::extender
