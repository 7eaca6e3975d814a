// SPDX-License-Identifier: Apache-2.0
//
// The head of an HTTP/1.x message: Boost.Beast judges the grammar, this judges the framing. Strict,
// because two readings of one message are how requests are smuggled.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

namespace optipod::http {

struct Field {
  std::string_view name, value;
};

/// Views into the bytes that were parsed.
struct Head {
  std::string_view method, target;  ///< of a request
  unsigned status = 0;              ///< of a response
  unsigned version = 11;            ///< 10 or 11
  std::vector<Field> fields;
  std::optional<std::uint64_t> content_length;
  bool chunked = false;
  bool keep_alive = false;

  /// First value of a field, its name in any case; "" when absent.
  [[nodiscard]] std::string_view field(std::string_view name) const;
};

/// Length of the head at the start of `bytes` with its empty line, or npos while that has not come.
/// `from`: how many bytes an earlier call has looked at already.
std::size_t head_length(std::string_view bytes, std::size_t from = 0);

/// `bytes` is one whole head. Reuses `out`'s memory. The error says what is malformed.
tl::expected<void, std::string> parse_request_head(std::string_view bytes, Head& out);
tl::expected<void, std::string> parse_response_head(std::string_view bytes, Head& out);

/// Whether a comma-separated list such as Connection's holds `token` in any case.
bool list_has_token(std::string_view list, std::string_view token);
/// Whether a header of ours can be sent as it is: it has a name, and no line break or NUL.
bool header_is_safe(std::string_view name, std::string_view value);
bool equals_no_case(std::string_view a, std::string_view b);

}  // namespace optipod::http
