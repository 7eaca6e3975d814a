// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace optipod::http {

/// Text, compressed once, that can stand anywhere in a gzip member: deflate blocks that look back
/// at nothing before them and end at a whole byte (what zlib calls a full flush), RFC 1951.
struct GzipPiece {
  std::string deflated;
  std::uint32_t crc = 0;   ///< of the text, as gzip has it
  std::uint64_t size = 0;  ///< of the text

  /// Replaces the piece by `text`. False (never seen: ISA-L refused it) leaves it unspecified.
  bool assign(std::string_view text);
};

/// Appends one gzip member (RFC 1952) to `out`, of text and of pieces made before, in the order
/// they are given. One member, as some readers (curl, browsers) stop after the first.
class GzipWriter {
 public:
  explicit GzipWriter(std::string& out);
  /// False as of GzipPiece: the member is then broken.
  bool add(std::string_view text);
  void add(const GzipPiece& piece);
  /// Ends the member; call it once, last.
  void finish();

 private:
  std::string& out_;
  std::uint32_t crc_ = 0;
  std::uint64_t size_ = 0;
};

}  // namespace optipod::http
