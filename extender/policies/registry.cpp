// SPDX-License-Identifier: Apache-2.0
#include "extender/policies/registry.hpp"

#include "extender/policies/template/template.hpp"

namespace optipod::extender {

std::vector<std::unique_ptr<const Policy>> make_policies(const PolicyParameters& parameters) {
  std::vector<std::unique_ptr<const Policy>> policies;
  policies.push_back(std::make_unique<Contention>(parameters.contention));
  policies.push_back(std::make_unique<Congestion>(parameters.congestion));
  policies.push_back(std::make_unique<Pigeon>(parameters.pigeon));
  policies.push_back(std::make_unique<Relative>(parameters.relative));
  policies.push_back(std::make_unique<Safe>(parameters.safe));
  policies.push_back(std::make_unique<Template>());
  return policies;
}

}  // namespace optipod::extender
