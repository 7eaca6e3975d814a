// SPDX-License-Identifier: Apache-2.0
// Reads a v1.Pod with simdjson's on-demand API; for wire/ only.
#pragma once

#include <optional>
#include <vector>

#include "extender/wire/json_walk.hpp"
#include "extender/wire/pod_needs.hpp"

namespace optipod::extender::wire {

/// Fills `pod`; views lead into the text or the parser's own buffer. One use.
class PodReader {
 public:
  PodReader(const ResourceNames& names, Pod& pod) : names_(names), pod_(pod) {}
  Status read(od::value value);

 private:
  Status metadata(od::value value);
  Status annotation(std::string_view name, od::value value);
  Status owners(od::value value);
  Status spec(od::value value);
  Status affinity(od::value value);
  Status spread(od::value value);
  Status status(od::value value);
  Status condition(od::value value);
  Status container_states(od::value value, std::vector<Reported>& out, bool starts);
  Status started(od::value state, std::string_view& at);
  Status containers(od::value value, std::vector<Need>& out);
  Status resources(od::value value, Requirements& out);
  Status quantities(od::value value, ResourceList& out);

  const ResourceNames& names_;
  Pod& pod_;
  PodNeeds needs_;
  Starts starts_;
};

/// Reads a v1.ResourceList, as state_quantity() does its entries.
Status read_quantities(const ResourceNames& names, od::value value, ResourceList& out,
                       unsigned& bad);

/// "2026-11-24T15:04:05Z", with or without a fraction, as Unix ms; nullopt for anything else.
std::optional<std::int64_t> parse_time(std::string_view rfc3339);

}  // namespace optipod::extender::wire
