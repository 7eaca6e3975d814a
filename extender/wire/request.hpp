// SPDX-License-Identifier: Apache-2.0
//
// What kube-scheduler sends (k8s.io/kube-scheduler extender/v1): ExtenderArgs for filter and
// prioritize, ExtenderPreemptionArgs, ExtenderBindingArgs. Read in one pass with simdjson's
// on-demand API: keys in any case (Go decodes so) and any order, everything that is not named here
// skipped unread. The names, most of the text, are mostly read before (name_list.hpp).
//
// Instruction sets: Debian's simdjson finds the structure of the text with the CPU's best kernel
// (AVX-512, AVX2, SSE4.2), chosen at run time inside the library. Only what on-demand inlines into
// the caller is compiled for the baseline, and of that only copying strings would gain from AVX2;
// so names are not copied: they are views into the body, and the search for an escape in them is
// memchr, which libc dispatches at run time as well. One translation unit, no second copy of inline
// functions compiled for a CPU that may not be there, and faster than on-demand's own get_string
// with AVX2.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "extender/wire/pod.hpp"

namespace optipod::extender::wire {

/// One entry of NodeNameToVictims or NodeNameToMetaVictims: pods to evict from a node.
struct Victims {
  std::string_view node;
  std::size_t first = 0, count = 0;  ///< in Args::victim_uids
  std::int64_t pdb_violations = 0;
};

struct Args {
  Pod pod;
  // filter, prioritize
  std::vector<std::string_view> node_names;  ///< unescaped, as sent: order kept, duplicates too
  bool has_node_names = false;               ///< NodeNames was there and not null
  bool has_nodes = false;                    ///< Nodes was: nodeCacheCapable is false
  // preempt
  bool has_victims = false;  ///< either map was there and not null
  std::vector<Victims> victims;
  std::vector<std::string_view> victim_uids;
  // bind
  std::string_view pod_name, pod_namespace, pod_uid, node;
};

enum class DecodeCause : std::uint8_t { kEmpty, kSyntax, kNotArgs, kTooDeep, kTooLarge };
std::string_view to_string(DecodeCause cause);

struct DecodeError {
  DecodeCause cause;
  std::string what;
};

/// Keeps the parser's memory from request to request: one a thread. Not thread-safe.
class Decoder {
 public:
  /// kube-scheduler's own objects nest 15 deep or so.
  static constexpr int kMaxDepth = 128;
  /// Of nodes, and of victims, in one request; one with more is refused.
  static constexpr std::size_t kMostNames = 1'000'000;

  explicit Decoder(ResourceNames names = ResourceNames());
  ~Decoder();
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  /// `body` must be followed by 64 readable bytes (http::kBodyPadding). The result belongs to the
  /// decoder and is valid until the next call, as long as the body.
  tl::expected<const Args*, DecodeError> decode(std::string_view body);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace optipod::extender::wire
