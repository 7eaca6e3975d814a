// SPDX-License-Identifier: Apache-2.0
#include "common/http/gzip_writer.hpp"

#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>

namespace optipod::http {
namespace {

/// Text is compressed in chunks that fit the CPU's cache. Each costs some bytes, so that smaller
/// ones are worse; four windows of deflate.
constexpr std::size_t kChunk = 128 * 1024;
/// A chunk that does not compress is stored: 5 bytes for each block of 65,535, and the flush's.
constexpr std::size_t kMostDeflated = kChunk + 128;
constexpr std::array<char, 10> kHeader = {'\x1f', '\x8b', '\x08', 0, 0, 0, 0, 0, 0, '\xff'};
/// An empty last block: none of the others says that it is the last.
constexpr std::array<char, 2> kLastBlock = {'\x03', '\x00'};

std::uint8_t* bytes(const char* p) {
  // ISA-L only reads what it compresses, but does not say so in its types.
  return reinterpret_cast<std::uint8_t*>(const_cast<char*>(p));  // NOLINT(*-const-cast)
}

/// ISA-L's working memory. It needs not be cleared between chunks.
struct Deflater {
  isal_zstream stream;
  std::array<std::uint8_t, ISAL_DEF_LVL1_DEFAULT> level_buffer;
  std::array<char, kMostDeflated> deflated;

  /// Appends a chunk to `out`.
  bool run(std::string_view chunk, std::string& out) {
    isal_deflate_stateless_init(&stream);
    stream.level = 1;  // the fastest that compresses metric text as well as zlib does
    stream.level_buf = level_buffer.data();
    stream.level_buf_size = static_cast<std::uint32_t>(level_buffer.size());
    stream.flush = FULL_FLUSH;
    stream.next_in = bytes(chunk.data());
    stream.avail_in = static_cast<std::uint32_t>(chunk.size());
    stream.next_out = bytes(deflated.data());
    stream.avail_out = static_cast<std::uint32_t>(deflated.size());
    if (isal_deflate_stateless(&stream) != COMP_OK || stream.avail_in != 0) return false;
    out.append(deflated.data(), stream.total_out);
    return true;
  }
};

/// Of each thread that compresses: half a megabyte, touched where it is used.
Deflater& deflater() {
  thread_local const auto made = std::make_unique_for_overwrite<Deflater>();
  return *made;
}

bool append_deflated(std::string_view text, std::string& out) {
  for (; !text.empty(); text.remove_prefix(std::min(kChunk, text.size()))) {
    if (!deflater().run(text.substr(0, kChunk), out)) return false;
  }
  return true;
}

std::uint32_t crc_of(std::string_view text, std::uint32_t before = 0) {
  return crc32_gzip_refl(before, bytes(text.data()), text.size());
}

void append_number(std::string& out, std::uint32_t value) {
  for (int i = 0; i < 4; ++i, value >>= 8) out.push_back(static_cast<char>(value));
}

}  // namespace

bool GzipPiece::assign(std::string_view text) {
  deflated.clear();
  crc = crc_of(text);
  size = text.size();
  return append_deflated(text, deflated);
}

GzipWriter::GzipWriter(std::string& out) : out_(out) {
  out_.append(kHeader.data(), kHeader.size());
}

bool GzipWriter::add(std::string_view text) {
  crc_ = crc_of(text, crc_);
  size_ += text.size();
  return append_deflated(text, out_);
}

void GzipWriter::add(const GzipPiece& piece) {
  crc_ =
      static_cast<std::uint32_t>(crc32_combine(crc_, piece.crc, static_cast<z_off_t>(piece.size)));
  size_ += piece.size;
  out_.append(piece.deflated);
}

void GzipWriter::finish() {
  out_.append(kLastBlock.data(), kLastBlock.size());
  append_number(out_, crc_);
  append_number(out_, static_cast<std::uint32_t>(size_));  // RFC 1952: modulo 2^32
}

}  // namespace optipod::http
