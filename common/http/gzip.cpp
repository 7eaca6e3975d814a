// SPDX-License-Identifier: Apache-2.0
#include "common/http/gzip.hpp"

#include <libdeflate.h>

#include <algorithm>
#include <cstdint>
#include <memory>

#include "common/http/gzip_writer.hpp"

namespace optipod::http {
namespace {

struct FreeDecompressor {
  void operator()(libdeflate_decompressor* d) const { libdeflate_free_decompressor(d); }
};

/// 11 kB of tables, kept by each thread. Null: out of memory.
libdeflate_decompressor* decompressor() {
  thread_local const std::unique_ptr<libdeflate_decompressor, FreeDecompressor> made(
      libdeflate_alloc_decompressor());
  return made.get();
}

/// Room to begin with: what the last member says of its size, which is all there is to a body of
/// one member that does not lie. Never more than deflate could make of so many bytes.
std::size_t expected_size(std::string_view input, std::size_t max) {
  constexpr std::size_t kMostOfAByte = 1032;
  constexpr std::size_t kLeast = 1024;
  std::uint32_t said = 0;
  for (std::size_t i = 0; i < 4 && i < input.size(); ++i)
    said = said << 8 | static_cast<unsigned char>(input[input.size() - 1 - i]);
  return std::min({std::max<std::size_t>(said, kLeast), input.size() * kMostOfAByte, max});
}

}  // namespace

bool gzip_compress(std::string_view input, std::string& out) {
  out.clear();
  GzipWriter writer(out);
  if (!writer.add(input)) return false;
  writer.finish();
  return true;
}

tl::expected<std::string, GzipError> gzip_decompress(std::string_view input, std::size_t max) {
  if (decompressor() == nullptr) {
    return tl::unexpected(GzipError{.what = "out of memory while decompressing"});
  }
  std::string out(expected_size(input, max), '\0');
  std::size_t written = 0;
  do {
    std::size_t used = 0, made = 0;
    const libdeflate_result result =
        libdeflate_gzip_decompress_ex(decompressor(), input.data(), input.size(),
                                      out.data() + written, out.size() - written, &used, &made);
    if (result == LIBDEFLATE_SUCCESS) {
      written += made;
      input.remove_prefix(used);
    } else if (result != LIBDEFLATE_INSUFFICIENT_SPACE) {
      return tl::unexpected(GzipError{.what = "broken gzip body"});
    } else if (out.size() == max) {
      return tl::unexpected(
          GzipError{.too_large = true,
                    .what = "body decompresses to more than " + std::to_string(max) + " bytes"});
    } else {  // the member once more; out grows so that all that is done twice is less than the
              // rest
      out.resize(out.size() > max / 2 ? max : std::max<std::size_t>(out.size() * 2, 1));
    }
  } while (!input.empty());
  out.resize(written);
  return out;
}

}  // namespace optipod::http
