// SPDX-License-Identifier: Apache-2.0
//
// How /federate's samples are written: which of a selection's lines are alive, and each format.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "aggregator/selection.hpp"
#include "aggregator/series.hpp"
#include "common/text/exposition.hpp"

namespace optipod::aggregator {

/// What is older than the lookback, or lies ahead, is not served.
struct FederateWindow {
  std::int64_t now_ms, lookback_ms;
  [[nodiscard]] bool holds(std::int64_t time_ms, std::int64_t max_age_ms) const {
    return time_ms >= now_ms - std::min(lookback_ms, max_age_ms) && time_ms <= now_ms;
  }
};

/// A blank, the decimal digits of a time and a newline: most samples of a set share it.
class TimeText {
 public:
  static constexpr std::size_t kRoom = 24;
  explicit TimeText(std::int64_t ms);
  [[nodiscard]] std::int64_t ms() const { return ms_; }
  /// The end of it, written to `to`, which has kRoom.
  char* put(char* to) const;

 private:
  std::int64_t ms_;
  char text_[kRoom];
  std::uint8_t size_ = 0;
};

/// A set that has something to serve, with what every line of it needs close together.
struct FederatedSet {
  const SeriesSet* set;
  const double* values;
  const ValueTexts::Text* texts;  ///< of the values; null: none are made
  TimeText scraped, measured;
  /// Alive as long as the set's time is: no series of it has a time or an age of its own that
  /// matters now.
  bool plain;
  bool scraped_alive, measured_alive;
  std::uint32_t cuts;  ///< where its label texts begin among the group's
  std::uint32_t at;    ///< its place among all sets
};

/// Sets that share a selection, in their order, and the texts of their labels.
class FederatedGroup {
 public:
  FederatedGroup(Selection selection, FederateWindow window)
      : selection_(std::move(selection)), window_(window) {}

  void add(const SeriesSet& set, const LabelSet& labels, std::uint32_t place);
  [[nodiscard]] const Selection& selection() const { return selection_; }
  [[nodiscard]] const std::vector<FederatedSet>& sources() const { return sources_; }
  [[nodiscard]] const FederateWindow& window() const { return window_; }
  /// The text for a piece's cut of a source's labels, with kCopySlack readable bytes behind it.
  [[nodiscard]] std::string_view cut(const FederatedSet& source, std::size_t cut) const {
    const Cut& at = cuts_[source.cuts + cut];
    return {text_.data() + at.begin, at.size};
  }
  [[nodiscard]] std::size_t longest_labels() const { return longest_; }

 private:
  struct Cut {
    std::uint32_t begin, size;
  };
  [[nodiscard]] bool is_plain(const SeriesSet& set) const;

  Selection selection_;
  FederateWindow window_;
  std::vector<FederatedSet> sources_;
  std::vector<Cut> cuts_;  ///< for each source one of each of the selection's
  std::string text_{std::string(kCopySlack, '\0')};
  std::size_t longest_ = 0;  ///< all labels of one source
};

/// Family by family, into a string that grows. A family without samples leaves nothing.
class FederateWriter {
 public:
  /// `gaps` as the selections were made with; it outlives the writer.
  static std::unique_ptr<FederateWriter> make(text::Format format, const LabelPairs& gaps);
  virtual ~FederateWriter() = default;
  FederateWriter(const FederateWriter&) = delete;
  FederateWriter& operator=(const FederateWriter&) = delete;

  virtual void begin(std::string_view name) = 0;
  /// The run's lines of the group's source `i`; sources up to `to` are likely to be next.
  virtual void write(const FederatedGroup& group, const Selection::Run& run, std::size_t i,
                     std::size_t to, std::string& out) = 0;
  virtual void end(std::string& out) = 0;
  [[nodiscard]] std::size_t written() const { return written_; }

 protected:
  FederateWriter() = default;
  std::size_t written_ = 0;
};

}  // namespace optipod::aggregator
