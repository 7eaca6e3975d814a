// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <tl/expected.hpp>

namespace optipod::http {

/// Replaces `out` by `input` as one gzip member, compressed fast (gzip_writer.hpp).
/// False (never seen: ISA-L refused it) leaves `out` unspecified.
bool gzip_compress(std::string_view input, std::string& out);

struct GzipError {
  bool too_large = false;  ///< else broken
  std::string what;
};

/// Decompresses all gzip members of `input`; an error when it is broken or would pass
/// `max` bytes.
tl::expected<std::string, GzipError> gzip_decompress(std::string_view input, std::size_t max);

}  // namespace optipod::http
