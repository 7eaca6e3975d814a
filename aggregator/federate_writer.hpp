// SPDX-License-Identifier: Apache-2.0
//
// How /federate's samples are written: which of a selection's lines are alive, and each format.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
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
  /// The end of it, written to `to`, which has kRoom.
  char* put(char* to) const {
    static_assert(sizeof *this == kRoom);
    std::memcpy(to, this, kRoom);  // the text comes first
    return to + size_;
  }

 private:
  char text_[kRoom - 1];
  std::uint8_t size_ = 0;
};

/// A set that has something to serve: what every line of it needs is in one line of the CPU's
/// cache, for all sets are gone through for each name.
struct alignas(64) FederatedSet {
  const double* values;        ///< null: they are packed
  const PackedNumber* packed;  ///< null: they are not
  TimeText measured;
  std::uint32_t cuts;  ///< where its label texts begin among the group's
  std::uint32_t at;    ///< its place among all sets
  /// Alive as long as the set's time is: no series of it has a time or an age of its own that
  /// matters now.
  bool plain;
  bool scraped_alive, measured_alive;
};

/// Sets that share a selection, in their order, and the texts of their labels.
class FederatedGroup {
 public:
  FederatedGroup(Selection selection, FederateWindow window)
      : selection_(std::move(selection)), window_(window) {}

  void add(const SeriesSet& set, const LabelSet& labels, std::uint32_t place);
  [[nodiscard]] const Selection& selection() const { return selection_; }
  [[nodiscard]] const std::vector<FederatedSet>& sources() const { return sources_; }
  /// Of a source, by its position: what only some lines need.
  [[nodiscard]] const SeriesSet& set(std::size_t i) const { return *rest_[i].set; }
  [[nodiscard]] const TimeText& scraped(std::size_t i) const { return rest_[i].scraped; }
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
  struct Rest {
    const SeriesSet* set;
    TimeText scraped;
  };
  [[nodiscard]] bool is_plain(const SeriesSet& set) const;

  Selection selection_;
  FederateWindow window_;
  std::vector<FederatedSet> sources_;
  std::vector<Rest> rest_;  ///< of each source
  std::vector<Cut> cuts_;   ///< for each source one of each of the selection's
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
  /// The run's lines of the group's sources [from, to), or until `out` has `enough` bytes; returns
  /// which source is next.
  virtual std::size_t write(const FederatedGroup& group, const Selection::Run& run,
                            std::size_t from, std::size_t to, std::size_t enough,
                            std::string& out) = 0;
  virtual void end(std::string& out) = 0;
  [[nodiscard]] std::size_t written() const { return written_; }

 protected:
  FederateWriter() = default;
  std::size_t written_ = 0;
};

}  // namespace optipod::aggregator
