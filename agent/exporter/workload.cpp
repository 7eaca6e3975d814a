// SPDX-License-Identifier: Apache-2.0
#include "agent/exporter/workload.hpp"

#include <cstddef>

namespace optipod::exporter {
namespace {

/// What Kubernetes makes random names and hashes of (apimachinery's util/rand): no vowels and
/// nothing that looks like one, so that few words of a language are among them.
constexpr std::string_view kRandom = "bcdfghjklmnpqrstvwxz2456789";
constexpr std::string_view kDigits = "0123456789";

/// Takes "-part" off the end when the part is made of `alphabet` and so long.
bool drop_last(std::string_view& name, std::string_view alphabet, std::size_t shortest,
               std::size_t longest) {
  const std::size_t dash = name.rfind('-');
  if (dash == std::string_view::npos || dash == 0) return false;
  const std::string_view part = name.substr(dash + 1);
  if (part.size() < shortest || part.size() > longest) return false;
  if (part.find_first_not_of(alphabet) != std::string_view::npos) return false;
  name = name.substr(0, dash);
  return true;
}

}  // namespace

std::string_view workload_of(std::string_view pod, std::string_view node) {
  std::string_view name = pod;
  if (!node.empty() && name.size() > node.size() + 1 && name.ends_with(node) &&
      name[name.size() - node.size() - 1] == '-') {
    return name.substr(0, name.size() - node.size() - 1);
  }
  if (drop_last(name, kRandom, 5, 5)) {
    // The time a CronJob writes is in minutes since 1970; a hash is 32 bits in decimal, encoded.
    if (!drop_last(name, kDigits, 8, 8)) drop_last(name, kRandom, 6, 10);
    return name;
  }
  drop_last(name, kDigits, 1, 5);
  return name;
}

}  // namespace optipod::exporter
