// SPDX-License-Identifier: Apache-2.0
#include "extender/wire/reply.hpp"

#include <charconv>

#include "extender/wire/json_text.hpp"

namespace optipod::extender::wire {
namespace {

void append_score(std::string& out, std::uint8_t score) {
  char digits[4];
  const auto end = std::to_chars(std::begin(digits), std::end(digits), score).ptr;
  out.append(digits, end);
}

}  // namespace

void append_filter(std::string& out, std::span<const std::string_view> names,
                   std::span<const std::string_view> reason) {
  std::size_t length = 0;
  for (const std::string_view name : names) length += name.size() + 3;
  out.reserve(out.size() + length + 128);
  const auto rejected = [&](std::size_t i) { return !reason.empty() && !reason[i].empty(); };

  out += R"({"Nodes":null,"NodeNames":[)";
  bool first = true;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (rejected(i)) continue;
    if (!first) out += ',';
    first = false;
    append_string(out, names[i]);
  }
  out += R"(],"FailedNodes":{},"FailedAndUnresolvableNodes":{)";
  first = true;
  for (std::size_t i = 0; i < names.size(); ++i) {
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

std::size_t append_priorities(std::string& out, const NodeTable& nodes,
                              std::span<const std::uint32_t> rows,
                              std::span<const std::string_view> names,
                              std::span<const std::uint8_t> scores) {
  std::size_t listed = 0;
  std::size_t length = 2;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (scores[i] != 0) length += names[i].size() + 24;
  }
  out.reserve(out.size() + length);
  out += '[';
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (scores[i] == 0) continue;
    if (listed++ != 0) out += ',';
    if (rows[i] != NodeTable::kUnknown) {
      out += nodes.host_piece(rows[i]);
    } else {
      out += R"({"Host":)";
      append_string(out, names[i]);
      out += R"(,"Score":)";
    }
    append_score(out, scores[i]);
    out += '}';
  }
  out += ']';
  return listed;
}

}  // namespace optipod::extender::wire
