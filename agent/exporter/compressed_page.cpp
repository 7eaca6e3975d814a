// SPDX-License-Identifier: Apache-2.0
#include "agent/exporter/compressed_page.hpp"

namespace optipod::exporter {
namespace {

/// About 60 kB of text. Smaller blocks compress worse and cost more each; larger ones are more
/// often made anew for the sake of a line.
constexpr std::size_t kBlockLines = 512;

}  // namespace

CompressedPage::CompressedPage(text::Format format, Buckets buckets)
    : text_page_(text_, format, buckets),
      histogram_lines_(shown_buckets(buckets).size() + 3) {}  // +Inf, _sum, _count

void CompressedPage::begin() {
  current_ = 0;
  position_ = {};
  failed_ = false;
  made_ = 0;
  begin_block();
}

bool CompressedPage::end() {
  end_block();
  blocks_.resize(failed_ ? 0 : current_ + 1);
  return !failed_;
}

void CompressedPage::append_to(http::GzipWriter& writer) const {
  for (const Block& block : blocks_) writer.add(block.piece);
}

void CompressedPage::begin_block() {
  if (current_ == blocks_.size()) blocks_.emplace_back();
  Block& block = blocks_[current_];
  moved_ = block.begin != position_;
  block.begin = position_;
  block.content.begin();
  lines_ = 0;
}

void CompressedPage::end_block() {
  Block& block = blocks_[current_];
  const bool differs = block.content.end();
  if (differs || moved_) compress(block);
}

void CompressedPage::compress(Block& block) {
  ++made_;
  text_.clear();
  if (block.begin.family != nullptr) {
    block.begin.has_samples ? text_page_.resume(*block.begin.family)
                            : text_page_.family(*block.begin.family);
  }
  block.content.replay(text_page_);
  if (!block.piece.assign(text_)) failed_ = true;
}

void CompressedPage::wrote(std::size_t lines) {
  position_.has_samples = true;
  lines_ += lines;
  if (lines_ < kBlockLines) return;
  end_block();
  ++current_;
  begin_block();
}

void CompressedPage::family(const Metric& metric) {
  position_ = {&metric, false};
  blocks_[current_].content.family(metric);
}

void CompressedPage::sample(std::string_view labels, const Label* more, std::uint64_t value) {
  blocks_[current_].content.sample(labels, more, value);
  wrote(1);
}

void CompressedPage::sample_number(std::string_view labels, double value) {
  blocks_[current_].content.sample_number(labels, value);
  wrote(1);
}

void CompressedPage::sample_seconds(std::string_view labels, const Label* more, std::uint64_t ns) {
  blocks_[current_].content.sample_seconds(labels, more, ns);
  wrote(1);
}

void CompressedPage::histogram(std::string_view labels, const Label* more,
                               const shm::Histogram& histogram) {
  blocks_[current_].content.histogram(labels, more, histogram);
  wrote(histogram_lines_);
}

void CompressedPage::queue_lengths(std::string_view labels, const shm::QueueLengths& lengths) {
  blocks_[current_].content.queue_lengths(labels, lengths);
  wrote(shm::kQueueBuckets + 2);  // _sum, _count
}

}  // namespace optipod::exporter
