// SPDX-License-Identifier: Apache-2.0
#include "extender/wire/reply.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "extender/wire/json_text.hpp"

namespace optipod::extender::wire {
namespace {

/// What follows `"Score":` for each score.
constexpr std::array<std::string_view, 11> kTails{"0},", "1},", "2},", "3},", "4},", "5},",
                                                  "6},", "7},", "8},", "9},", "10},"};
constexpr std::size_t kMostTail = 4;

char* put(std::string_view text, char* at) {
  std::memcpy(at, text.data(), text.size());
  return at + text.size();
}

/// Calls `each(candidate)` for those with a score over 0, mostly few of many.
template <class Each>
void each_scored(std::span<const std::uint8_t> scores, const Each& each) {
  constexpr std::size_t kWord = sizeof(std::uint64_t);
  for (std::size_t i = 0; i < scores.size(); i += kWord) {
    std::uint64_t word = 0;
    const std::size_t size = std::min(kWord, scores.size() - i);
    std::memcpy(&word, scores.data() + i, size);
    if (word == 0) continue;
    for (std::size_t k = i; k < i + size; ++k) {
      if (scores[k] != 0) each(k);
    }
  }
}

}  // namespace

void append_filter(std::string& out, std::span<const std::string_view> names,
                   std::span<const std::string_view> reason,
                   std::span<const std::uint8_t> left_out) {
  std::size_t length = 0;
  for (const std::string_view name : names) length += name.size() + 3;
  out.reserve(out.size() + length + 128);
  const auto rejected = [&](std::size_t i) { return !reason.empty() && !reason[i].empty(); };

  out += R"({"Nodes":null,"NodeNames":[)";
  bool first = true;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (rejected(i) || (!left_out.empty() && left_out[i] != 0)) continue;
    if (!first) out += ',';
    first = false;
    append_string(out, names[i]);
  }
  out += R"(],"FailedNodes":{},"FailedAndUnresolvableNodes":{)";
  first = true;
  for (std::size_t i = 0; i < reason.size(); ++i) {
    if (!rejected(i)) continue;
    if (!first) out += ',';
    first = false;
    append_string(out, names[i]);
    out += ':';
    append_string(out, reason[i]);
  }
  out += R"(},"Error":""})";
}

void append_filter_error(std::string& out, std::string_view error) {
  out +=
      R"({"Nodes":null,"NodeNames":null,"FailedNodes":{},"FailedAndUnresolvableNodes":{},"Error":)";
  append_string(out, error);
  out += '}';
}

void append_preemption(std::string& out, const Args& args, std::span<const std::uint8_t> keep) {
  out += R"({"NodeNameToMetaVictims":{)";
  bool first = true;
  for (std::size_t i = 0; i < args.victims.size(); ++i) {
    if (keep[i] == 0) continue;
    const Victims& victims = args.victims[i];
    if (!first) out += ',';
    first = false;
    append_string(out, victims.node);
    out += R"(:{"Pods":[)";
    for (std::size_t k = 0; k < victims.count; ++k) {
      out += k == 0 ? R"({"UID":)" : R"(,{"UID":)";
      append_string(out, args.victim_uids[victims.first + k]);
      out += '}';
    }
    out += R"(],"NumPDBViolations":)" + std::to_string(victims.pdb_violations) + "}";
  }
  out += "}}";
}

void append_binding(std::string& out, std::string_view error) {
  out += R"({"Error":)";
  append_string(out, error);
  out += '}';
}

std::size_t append_priorities(std::string& out, const NodeTable& nodes,
                              std::span<const std::uint32_t> rows,
                              std::span<const std::string_view> names,
                              std::span<const std::uint8_t> scores) {
  std::size_t listed = 0;
  std::size_t length = 2;
  std::size_t unknown = 0;
  each_scored(scores, [&](std::size_t i) {
    ++listed;
    if (rows[i] == NodeTable::kUnknown) {
      ++unknown;
    } else {
      length += nodes.host_piece(rows[i]).size() + kMostTail;
    }
  });
  const std::size_t begin = out.size();
  out.resize(begin + length);  // copied into at once: append() costs more than the bytes
  char* at = out.data() + begin;
  *at++ = '[';
  each_scored(scores, [&](std::size_t i) {
    if (rows[i] == NodeTable::kUnknown) return;
    at = put(nodes.host_piece(rows[i]), at);
    at = put(kTails[scores[i]], at);
  });
  out.resize(static_cast<std::size_t>(at - out.data()));
  if (unknown != 0) {
    each_scored(scores, [&](std::size_t i) {
      if (rows[i] != NodeTable::kUnknown) return;
      out += R"({"Host":)";
      append_string(out, names[i]);
      out.append(R"(,"Score":)").append(kTails[scores[i]]);
    });
  }
  if (listed != 0) out.pop_back();  // the last comma
  out += ']';
  return listed;
}

}  // namespace optipod::extender::wire
