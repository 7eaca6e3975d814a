// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/core.h>

#include "extender/decide/record.hpp"

namespace optipod::extender {
namespace {

std::string filtered(const Record& r) {
  std::string out =
      r.rejected == 0 ? fmt::format("none of {} nodes is rejected", r.candidates_total)
                      : fmt::format("{} of {} nodes are rejected", r.rejected, r.candidates_total);
  const auto first = std::ranges::find_if(
      r.candidates, [](const Record::Candidate& c) { return !c.reason.empty(); });
  if (first != r.candidates.end()) out += fmt::format(" ({})", first->reason);
  if (r.left_out != 0) {
    out += fmt::format("; a shortlist of {} is kept", r.candidates_total - r.rejected - r.left_out);
  }
  return out;
}

std::string preferred(const Record& r) {
  if (r.candidates_total == r.missing) {
    return fmt::format("no measurement is young enough: all {} candidates are alike to us",
                       r.candidates_total);
  }
  if (r.candidates.empty() || r.candidates.front().score == 0) {
    return fmt::format("all {} candidates are alike to us", r.candidates_total);
  }
  std::string out = fmt::format("{} is best of {} candidates, with {} of 10", r.node(0),
                                r.candidates_total, r.candidates.front().score);
  if (r.equals > 1) out += fmt::format("; {} more are as good", r.equals - 1);
  if (r.shortlisted_of != 0) {
    out += fmt::format("; the candidates are a shortlist of {}", r.shortlisted_of);
  }
  return out;
}

std::string outcome(const Remembered& remembered) {
  const Record& r = *remembered.record;
  const auto c = find_bound(remembered);
  if (!c) return fmt::format("it went to {}, which is not among our best", remembered.bound_to);
  const unsigned score = r.candidates[*c].score;
  if (score == r.candidates.front().score) {
    return fmt::format("it went to {}, our first choice or as good", remembered.bound_to);
  }
  return fmt::format("it went to {}, with {} of 10 from us: other scorers weighed more",
                     remembered.bound_to, score);
}

}  // namespace

std::optional<std::size_t> find_bound(const Remembered& remembered) {
  const Record& r = *remembered.record;
  for (std::size_t c = 0; c < r.candidates.size(); ++c) {
    if (r.node(c) == remembered.bound_to) return c;
  }
  return std::nullopt;
}

std::string summary(const Remembered& remembered) {
  const Record& r = *remembered.record;
  if (r.verb != "prioritize") return filtered(r);
  std::string out = preferred(r);
  if (!remembered.bound_to.empty()) out += "; " + outcome(remembered);
  return out;
}

}  // namespace optipod::extender
