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
  /// The same but for the values, as the scrapes of targets of one kind: many, so that no branch
  /// predictor learns a page's digits by heart.
  std::vector<std::string> scrapes;
};

/// A node_exporter's page, this project's exporter's, and one of a container runtime whose labels
/// are long (ids, images, pod names).
std::vector<Page> parse_pages();

}  // namespace optipod::bench
