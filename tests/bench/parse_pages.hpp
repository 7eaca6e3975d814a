// SPDX-License-Identifier: Apache-2.0
//
// Pages to parse, made here, shaped like those that aggregators meet.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace optipod::bench {

struct Page {
  std::string name;
  /// Scrapes of one target: the same but for the values.
  std::string first, second;
};

/// A node_exporter's page, this project's exporter's, and one of a container runtime whose labels
/// are long (ids, images, pod names).
std::vector<Page> parse_pages();

}  // namespace optipod::bench
