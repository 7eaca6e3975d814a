// SPDX-License-Identifier: Apache-2.0
#include "extender/wire/pod_needs.hpp"

#include <algorithm>
#include <initializer_list>

#include "common/kube/quantity.hpp"

namespace optipod::extender::wire {
namespace {

bool is_pod_level(std::string_view resource) {
  return resource == "cpu" || resource == "memory" || resource.starts_with("hugepages-");
}

/// A container beside what is reported of it; null: nothing.
struct Container {
  const Need& need;
  const Reported* reported;
};

/// Of a pod as PodRequests() and PodLimits() of k8s.io/component-helpers/resource take it with the
/// options that kube-scheduler gives them, but for node resources by claims (alpha).
class Settling {
 public:
  Settling(const PodNeeds& needs, bool infeasible) : needs_(needs), infeasible_(infeasible) {
    // By name, as many of them as a hostile server likes; a container's own go before.
    std::vector<const Reported*> known;
    known.reserve(needs.container_states.size() + needs.init_container_states.size());
    for (const Reported& one : needs.container_states) known.push_back(&one);
    for (const Reported& one : needs.init_container_states) known.push_back(&one);
    std::ranges::stable_sort(known, {}, &Reported::name);
    const auto add = [&known](const std::vector<Need>& all, std::vector<Container>& out) {
      for (const Need& need : all) {
        const auto at = std::ranges::lower_bound(known, need.name, {}, &Reported::name);
        const bool found = at != known.end() && (*at)->name == need.name;
        out.push_back({need, found ? *at : nullptr});
      }
    };
    add(needs.containers, containers_);
    add(needs.init_containers, init_containers_);
  }

  [[nodiscard]] double requests(std::size_t r, bool of_pods) const {
    const auto stated = [r](const Container& c) { return c.need.resources.requests[r]; };
    const auto allocated = [&](const Container& c) {
      if (c.reported != nullptr && c.reported->allocated.any) return c.reported->allocated[r];
      return infeasible_ ? 0 : stated(c);
    };
    const auto actual = [&](const Container& c) {
      if (c.reported != nullptr && c.reported->actual.requests.any) {
        return c.reported->actual.requests[r];
      }
      return allocated(c);
    };
    const Reported& pod = needs_.pod_state;
    const bool whole = pod.allocated.any && pod.actual.requests.any;
    double all = whole ? std::max(pod.allocated[r], pod.actual.requests[r])
                       : std::max(sum(allocated), sum(actual));
    if (!infeasible_) all = std::max(all, sum(stated));
    if (of_pods && needs_.pod_level.requests.pod_level) {
      const auto effective = of_pod(needs_.pod_level.requests.amount[r],
                                    {pod.actual.requests.amount[r], pod.allocated.amount[r]});
      all = effective.value_or(all);
    }
    return all + needs_.overhead[r];
  }

  [[nodiscard]] double limits(std::size_t r, bool of_pods) const {
    const auto stated = [r](const Container& c) { return c.need.resources.limits[r]; };
    const auto actual = [&](const Container& c) {
      if (c.reported != nullptr && c.reported->actual.limits.any) {
        return c.reported->actual.limits[r];
      }
      return infeasible_ ? 0 : stated(c);
    };
    const Reported& pod = needs_.pod_state;
    double all = pod.actual.limits.any ? pod.actual.limits[r] : sum(actual);
    if (!infeasible_) all = std::max(all, sum(stated));
    if (of_pods && (needs_.pod_level.requests.pod_level || needs_.pod_level.limits.pod_level)) {
      all = of_pod(needs_.pod_level.limits.amount[r], {pod.actual.limits.amount[r]}).value_or(all);
    }
    return all > 0 ? all + needs_.overhead[r] : 0;  // what is not limited stays so
  }

 private:
  /// Of all containers: those that run together, or more where an init container needs that.
  template <class AmountOf>
  [[nodiscard]] double sum(const AmountOf& amount_of) const {
    double running = 0;
    double staying = 0;
    double starting = 0;
    for (const Container& c : containers_) running += amount_of(c);
    for (const Container& c : init_containers_) {
      const double amount = amount_of(c);
      if (c.need.stays) staying += amount;
      starting = std::max(starting, staying + (c.need.stays ? 0 : amount));
    }
    return std::max(running + staying, starting);
  }

  /// What the pod has as a whole: the most of what is asked for and reported.
  [[nodiscard]] std::optional<double> of_pod(
      std::optional<double> stated, std::initializer_list<std::optional<double>> reported) const {
    if (!needs_.pod_state.has_actual) return stated;
    std::optional<double> most = infeasible_ ? std::nullopt : stated;
    for (const std::optional<double>& one : reported) most = std::max(most, one);
    return most;
  }

  const PodNeeds& needs_;
  const bool infeasible_;
  std::vector<Container> containers_, init_containers_;
};

}  // namespace

void state_quantity(const ResourceNames& names, std::string_view name, std::string_view quantity,
                    ResourceList& out, unsigned& bad) {
  out.any = true;
  out.pod_level = out.pod_level || is_pod_level(name);
  const std::optional<std::size_t> resource = names.find(name);
  if (!resource) return;
  const std::optional<double> amount = kube::parse_quantity(quantity);
  if (amount && *amount >= 0) {
    out.amount[*resource] = *amount;
  } else {
    ++bad;
  }
}

void PodNeeds::condition(std::string_view type, std::string_view reason) {
  if (type == "PodResizePending" && !infeasible_) infeasible_ = reason == "Infeasible";
}

void PodNeeds::settle(const ResourceNames& names, Pod& pod) const {
  const Settling settling(*this, infeasible_.value_or(false));
  for (std::size_t r = 0; r < names.size(); ++r) {
    pod.requests[r] = settling.requests(r, is_pod_level(names[r]));
    pod.limits[r] = settling.limits(r, is_pod_level(names[r]));
  }
  pod.requests[kPods] = 1;
}

}  // namespace optipod::extender::wire
