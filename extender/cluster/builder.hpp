// SPDX-License-Identifier: Apache-2.0
//
// From the text of one /federate answer and the snapshot before it to the next snapshot.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <tl/expected.hpp>

#include "extender/cluster/snapshot.hpp"

namespace optipod::extender {

struct Built {
  std::shared_ptr<const Snapshot> snapshot;
  std::size_t samples = 0;      ///< taken
  std::size_t foreign = 0;      ///< series that are not the scheduling view's: skipped
  std::size_t nameless = 0;     ///< without a `node` label: skipped
  std::size_t bad_value = 0;    ///< negative, infinite or NaN: skipped, so missing
  std::size_t from_future = 0;  ///< measured later than now + keep_ms: a wrong clock; skipped
};

/// `now_ms` stands for the time of samples that carry none. A node in `text` gets exactly the
/// values told there (what a node does not tell any more is missing); a node absent from it keeps
/// its last values at their true age, and leaves once its newest is older than `keep_ms`. The error
/// says what is wrong on which line; nothing is built then.
tl::expected<Built, std::string> build_snapshot(std::string_view text, const Snapshot& before,
                                                std::int64_t now_ms, std::int64_t keep_ms);

}  // namespace optipod::extender
