// SPDX-License-Identifier: Apache-2.0
//
// Which of many candidates /filter keeps. kube-scheduler's own scorers take most of its time and
// look at each; but what they alone know must not be decided by leaving a node out.
#pragma once

#include "extender/decide/engine.hpp"

namespace optipod::extender {

/// Whether any may be left out: Kubernetes must say which nodes to avoid, and a pod that has
/// preferences among nodes is for kube-scheduler to place.
bool can_shortlist(const World& world, const Inquiry& inquiry, const DecideOptions& options);

/// Marks in `decision.left_out` all but `options.shortlist` of what is not rejected; none, where
/// these are alike. Half are the best. The other half are the best of each zone in equal
/// parts, and none with a taint that has pods stay away, as far as there are others: kube-scheduler
/// spreads pods over zones, and weighs such a taint against our scores.
void shortlist(const World& world, const Inquiry& inquiry, const DecideOptions& options,
               Decision& decision);

}  // namespace optipod::extender
