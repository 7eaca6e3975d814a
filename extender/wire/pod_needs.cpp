// SPDX-License-Identifier: Apache-2.0
#include "extender/wire/pod_needs.hpp"

#include "common/kube/quantity.hpp"

namespace optipod::extender::wire {
namespace {

/// resourcehelper.PodRequests of kube-scheduler.
void settle_list(const ResourceNames& names, const PodNeeds& needs, Stated Need::*list,
                 Resources& out) {
  for (std::size_t r = 0; r < names.size(); ++r) {
    double running = 0;
    double staying = 0;
    double starting = 0;
    for (const Need& need : needs.containers) running += (need.*list)[r].value_or(0);
    for (const Need& need : needs.init_containers) {
      const double amount = (need.*list)[r].value_or(0);
      if (need.stays) staying += amount;
      starting = std::max(starting, staying + (need.stays ? 0 : amount));
    }
    const double all = std::max(running + staying, starting);
    out[r] = (needs.pod_level.*list)[r].value_or(all) + needs.overhead[r].value_or(0);
  }
}

}  // namespace

void state_quantity(const ResourceNames& names, std::string_view name, std::string_view quantity,
                    Stated& out, unsigned& bad) {
  const std::optional<std::size_t> resource = names.find(name);
  if (!resource) return;
  const std::optional<double> amount = kube::parse_quantity(quantity);
  if (amount && *amount >= 0) {
    out[*resource] = *amount;
  } else {
    ++bad;
  }
}

void PodNeeds::settle(const ResourceNames& names, Pod& pod) const {
  settle_list(names, *this, &Need::requests, pod.requests);
  settle_list(names, *this, &Need::limits, pod.limits);
  pod.requests[kPods] = 1;
}

}  // namespace optipod::extender::wire
