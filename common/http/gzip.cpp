// SPDX-License-Identifier: Apache-2.0
#include "common/http/gzip.hpp"

#include <zlib.h>

#include <algorithm>
#include <limits>

#include "common/http/gzip_writer.hpp"

namespace optipod::http {
namespace {

constexpr int kGzipWindow = 15 + 16;  // 32 KiB window, gzip header
// zlib's type for lengths is unsigned int.
constexpr std::size_t kMostAtOnce = std::numeric_limits<uInt>::max();

Bytef* bytes(const char* p) {
  // zlib promises not to write through next_in, but does not say so in its type.
  return reinterpret_cast<Bytef*>(const_cast<char*>(p));  // NOLINT(*-const-cast)
}

struct Inflater {
  Inflater() { ready = inflateInit2(&stream, kGzipWindow) == Z_OK; }
  ~Inflater() {
    if (ready) inflateEnd(&stream);
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  z_stream stream{};
  bool ready = false;
};

}  // namespace

bool gzip_compress(std::string_view input, std::string& out) {
  out.clear();
  GzipWriter writer(out);
  if (!writer.add(input)) return false;
  writer.finish();
  return true;
}

tl::expected<std::string, std::string> gzip_decompress(std::string_view input, std::size_t max) {
  Inflater inflater;
  if (!inflater.ready) return tl::unexpected<std::string>("out of memory while decompressing");
  z_stream& stream = inflater.stream;
  std::string out;
  std::size_t written = 0;
  int status = Z_OK;
  for (;;) {
    if (stream.avail_in == 0) {
      const std::size_t n = std::min(input.size(), kMostAtOnce);
      if (n == 0) break;
      stream.next_in = bytes(input.data());
      stream.avail_in = static_cast<uInt>(n);
      input.remove_prefix(n);
    }
    if (status == Z_STREAM_END && inflateReset(&stream) != Z_OK) break;  // another member
    if (written == out.size()) {
      if (written > max) break;
      // One byte over the limit, to see whether it is passed.
      const std::size_t most = max + (max == std::numeric_limits<std::size_t>::max() ? 0 : 1);
      out.resize(std::min(std::max<std::size_t>(out.size() * 2, 16 * 1024), most));
      if (out.size() == written) break;
    }
    const std::size_t room = std::min(out.size() - written, kMostAtOnce);
    stream.next_out = bytes(out.data() + written);
    stream.avail_out = static_cast<uInt>(room);
    status = inflate(&stream, Z_NO_FLUSH);
    written += room - stream.avail_out;
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) break;
    if (status == Z_STREAM_END && stream.avail_in == 0 && input.empty()) break;
  }
  if (written > max) {
    return tl::unexpected("body decompresses to more than " + std::to_string(max) + " bytes");
  }
  if (status != Z_STREAM_END) return tl::unexpected<std::string>("broken gzip body");
  out.resize(written);
  return out;
}

}  // namespace optipod::http
