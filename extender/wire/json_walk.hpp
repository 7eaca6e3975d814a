// SPDX-License-Identifier: Apache-2.0
//
// Steps through JSON with simdjson's on-demand API, for the readers in wire/ only: nothing here is
// seen outside. Keys match in any case, as Go's decoder matches them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string_view>
#include <vector>

#define SIMDJSON_EXCEPTIONS 0  // so that no result can be taken without looking at its error
#include <simdjson.h>

namespace optipod::extender::wire {

namespace od = simdjson::ondemand;
using Status = simdjson::error_code;
inline constexpr Status kOk = simdjson::SUCCESS;

inline bool same_key(std::string_view key, std::string_view wanted) {
  return key.size() == wanted.size() && std::ranges::equal(key, wanted, [](char a, char b) {
           const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? char(c | 0x20) : c; };
           return lower(a) == lower(b);
         });
}

/// Whether `c` is there more than `most` times.
inline bool more_than(std::string_view text, char c, int most) {
  std::size_t at = 0;
  for (int n = 0; (at = text.find(c, at)) != std::string_view::npos; ++at) {
    if (++n > most) return true;
  }
  return false;
}

/// Text between brackets deeper than `limit`, strings not counted.
inline bool nests_deeper(std::string_view json, int limit) {
  // Mostly there are too few brackets for that, and libc finds them faster than a walk.
  if (!more_than(json, '{', limit / 2) && !more_than(json, '[', limit / 2)) return false;
  int depth = 0;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (c == '"') {
      for (++i; i < json.size() && json[i] != '"'; ++i) i += json[i] == '\\' ? 1 : 0;
    } else if (c == '{' || c == '[') {
      if (++depth > limit) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

/// A string's text without copying it, unless it holds an escape.
inline Status text_of(od::value value, std::string_view& out) {
  std::string_view token = value.raw_json_token();
  if (token.empty() || token.front() != '"') return simdjson::INCORRECT_TYPE;
  // The token reaches to the next structural character.
  while (token.back() == ' ' || token.back() == '\n' || token.back() == '\r' ||
         token.back() == '\t') {
    token.remove_suffix(1);
  }
  if (token.size() < 2 || token.back() != '"' ||
      std::memchr(token.data(), '\\', token.size()) != nullptr) {
    return value.get_string().get(out);
  }
  out = token.substr(1, token.size() - 2);
  return kOk;
}

/// Calls `each(key, value)` for the members of an object; a value of another type (null, too) has
/// none. A status other than success ends the walk.
template <class Each>
Status members(od::value value, Each each) {
  od::json_type type{};
  if (const Status status = value.type().get(type); status != kOk) return status;
  if (type != od::json_type::object) return kOk;
  od::object object;
  if (const Status status = value.get_object().get(object); status != kOk) return status;
  for (auto field : object) {
    if (field.error() != kOk) return field.error();
    std::string_view key;
    if (const Status status = field.unescaped_key().get(key); status != kOk) return status;
    od::value member;
    if (const Status status = field.value().get(member); status != kOk) return status;
    if (const Status status = each(key, member); status != kOk) return status;
  }
  return kOk;
}

template <class Each>
Status elements(od::value value, Each each) {
  od::json_type type{};
  if (const Status status = value.type().get(type); status != kOk) return status;
  if (type != od::json_type::array) return kOk;
  od::array array;
  if (const Status status = value.get_array().get(array); status != kOk) return status;
  for (auto element : array) {
    od::value one;
    if (const Status status = element.get(one); status != kOk) return status;
    if (const Status status = each(one); status != kOk) return status;
  }
  return kOk;
}

/// A member that should be a string; one of another type counts as absent.
inline Status read_text(od::value value, std::string_view& out) {
  const Status status = text_of(value, out);
  return status == simdjson::INCORRECT_TYPE ? kOk : status;
}

}  // namespace optipod::extender::wire
