// SPDX-License-Identifier: Apache-2.0
#include "extender/serve/binder.hpp"

#include "extender/clock.hpp"

namespace optipod::extender {
namespace {

std::string_view result_of(const kube::BindResult& result) {
  using Outcome = kube::BindResult::Outcome;
  switch (result.outcome) {
    case Outcome::kBound:
      return result.already ? "already_bound" : "bound";
    case Outcome::kBoundElsewhere:
    case Outcome::kReplaced:
      return "conflict";
    case Outcome::kNotFound:
      return "not_found";
    case Outcome::kFailed:
      return "failed";
  }
  return "failed";
}

}  // namespace

Binder::Binder(const kube::Client& client, const ClusterState& state, Ledger& ledger,
               Metrics& metrics, std::chrono::milliseconds timeout)
    : client_(client), state_(state), ledger_(ledger), metrics_(metrics), timeout_(timeout) {}

std::string Binder::bind(const wire::Args& args) {
  // A binding is for ever: what the watch has shown need not be asked again.
  if (!args.pod_uid.empty() && state_.bound_to(args.pod_uid) == args.node) {
    metrics_.bind_ended("already_bound");
    return {};
  }
  kube::RequestOptions options;
  options.timeout = timeout_;
  options.stop = stop_.get_token();
  const kube::BindResult result =
      client_.bind_pod(std::string(args.pod_namespace), std::string(args.pod_name),
                       std::string(args.pod_uid), std::string(args.node), options);
  metrics_.bind_ended(result_of(result));
  if (result.bound()) ledger_.assigned(args.pod_uid, args.node, unix_ms());
  return result.error;
}

}  // namespace optipod::extender
