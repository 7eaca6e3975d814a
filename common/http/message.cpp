// SPDX-License-Identifier: Apache-2.0
#include "common/http/message.hpp"

#include <algorithm>

#include "common/http/percent.hpp"

namespace optipod::http {
namespace {

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// Calls `each(value)` for every value of `name`, undecoded, until it returns false.
template <typename Each>
void for_each_param(std::string_view query, std::string_view name, Each each) {
  std::string key;
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const std::size_t equals = std::min(pair.find('='), pair.size());
    key.clear();
    if (!percent_decode(pair.substr(0, equals), true, key) || key != name) continue;
    if (!each(pair.substr(std::min(equals + 1, pair.size())))) return;
  }
}

}  // namespace

bool percent_decode(std::string_view s, bool plus_is_blank, std::string& out) {
  for (std::size_t i = 0; i < s.size(); ++i) {
    char c = s[i];
    if (c == '%') {
      if (i + 2 >= s.size()) return false;
      const int high = hex(s[i + 1]);
      const int low = hex(s[i + 2]);
      if (high < 0 || low < 0 || high + low == 0) return false;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    } else if (c == '+' && plus_is_blank) {
      c = ' ';
    }
    out.push_back(c);
  }
  return true;
}

std::string percent_encode(std::string_view s) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : s) {
    const bool unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                            (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
    if (unreserved) {
      out.push_back(c);
    } else {
      const auto u = static_cast<unsigned char>(c);
      out.append({'%', kHex[u >> 4], kHex[u & 15]});
    }
  }
  return out;
}

std::vector<std::string> Request::params(std::string_view name) const {
  std::vector<std::string> out;
  for_each_param(query, name, [&](std::string_view raw) {
    std::string value;
    if (percent_decode(raw, true, value)) out.push_back(std::move(value));
    return true;
  });
  return out;
}

std::string Request::param(std::string_view name) const {
  std::string out;
  for_each_param(query, name, [&](std::string_view raw) {
    out.clear();
    return !percent_decode(raw, true, out);  // a malformed value is as good as none
  });
  return out;
}

bool Request::decodes() const {
  std::string ignored;
  return percent_decode(query, true, ignored);
}

}  // namespace optipod::http
