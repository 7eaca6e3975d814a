// SPDX-License-Identifier: Apache-2.0
//
// ExtenderArgs, the body of kube-scheduler's filter and prioritize requests (k8s.io/kube-scheduler
// extender/v1). Read in one pass with simdjson's on-demand API: keys in any case (Go decodes so)
// and any order, everything that is not named here skipped unread.
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
#include <utility>
#include <vector>

#include <tl/expected.hpp>

namespace optipod::extender::wire {

struct Resources {
  double cpu = 0;     ///< CPUs
  double memory = 0;  ///< bytes
};

/// What a decision may know about the pod. Views are valid as long as the body and until the next
/// decode() of the same Decoder.
struct Pod {
  std::string_view name, name_space, uid;
  /// What kube-scheduler reckons with: containers and restartable init containers together, or the
  /// largest other init container if that is more; plus overhead; pod-level resources override.
  Resources requests, limits;
  std::int64_t priority = 0;
  /// Those with the prefix "optipod.dev/" only.
  std::vector<std::pair<std::string_view, std::string_view>> annotations;
  /// Quantities that are none; they count as absent.
  unsigned bad_quantities = 0;
};

struct Args {
  Pod pod;
  std::vector<std::string_view> node_names;  ///< unescaped, as sent: order kept, duplicates too
  bool has_node_names = false;               ///< NodeNames was there and not null
  bool has_nodes = false;                    ///< Nodes was: nodeCacheCapable is false
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

  Decoder();
  ~Decoder();
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  /// `body` must be followed by 64 readable bytes (http::kBodyPadding). The result belongs to the
  /// decoder and is valid until the next call.
  tl::expected<const Args*, DecodeError> decode(std::string_view body);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace optipod::extender::wire
