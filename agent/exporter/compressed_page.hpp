// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>

#include "agent/exporter/page.hpp"
#include "agent/exporter/recording.hpp"
#include "agent/exporter/text_page.hpp"
#include "common/http/gzip_writer.hpp"

namespace optipod::exporter {

/// A text page that is only ever sent compressed, and written again for each scrape. Most of it
/// says the same each time: it is cut into blocks of some hundred lines, and one that says what it
/// said before keeps its compressed bytes, without being rendered. The uncompressed page never
/// exists.
class CompressedPage : public Page {
 public:
  CompressedPage(text::Format format, Buckets buckets);

  /// The page begins anew.
  void begin();
  /// It is whole. False (GzipPiece): it cannot be had, and is forgotten.
  bool end();
  /// Appends what was written between begin() and end().
  void append_to(http::GzipWriter& writer) const;
  [[nodiscard]] std::size_t blocks() const { return blocks_.size(); }
  /// Blocks that were compressed since begin(); the others were kept.
  [[nodiscard]] std::size_t made() const { return made_; }

  void family(const Metric& metric) override;
  void sample(std::string_view labels, const Label* more, std::uint64_t value) override;
  void sample_number(std::string_view labels, double value) override;
  void sample_seconds(std::string_view labels, const Label* more, std::uint64_t ns) override;
  void histogram(std::string_view labels, const Label* more,
                 const shm::Histogram& histogram) override;
  void queue_lengths(std::string_view labels, const shm::QueueLengths& lengths) override;

 private:
  /// Where in the page writing stands.
  struct Position {
    const Metric* family = nullptr;  ///< null: before the first
    bool has_samples = false;        ///< the family has, so that its header is written
    bool operator==(const Position&) const = default;
  };
  struct Block {
    Position begin;
    Recording content;
    http::GzipPiece piece;
  };

  void begin_block();
  void end_block();
  void compress(Block& block);
  void wrote(std::size_t lines);

  std::string text_;  ///< of one block
  TextPage text_page_;
  const std::size_t histogram_lines_;
  std::deque<Block> blocks_;
  std::size_t current_ = 0;  ///< of blocks_, the one that is written to
  std::size_t lines_ = 0;    ///< in it
  Position position_;
  bool moved_ = false;  ///< the current block begins elsewhere than it did
  bool failed_ = false;
  std::size_t made_ = 0;
};

}  // namespace optipod::exporter
