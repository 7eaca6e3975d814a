// SPDX-License-Identifier: Apache-2.0
//
// How /federate's samples are written: which of a selection's lines are alive, and each format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "aggregator/selection.hpp"
#include "aggregator/series.hpp"
#include "common/text/exposition.hpp"

namespace optipod::aggregator {

/// Decimal digits of a time with a newline behind them: most samples of a set share it.
class TimeText {
 public:
  explicit TimeText(std::int64_t ms);
  [[nodiscard]] std::int64_t ms() const { return ms_; }
  [[nodiscard]] std::string_view text() const { return {text_, size_}; }

 private:
  std::int64_t ms_;
  char text_[23];
  std::uint8_t size_ = 0;
};

/// A set that has something to serve, with what every line of it needs close together.
struct FederatedSet {
  const SeriesSet* set;
  const double* values;
  const LabelSet* labels;
  std::string_view label_text;
  TimeText scraped, measured;
  std::uint32_t at;  ///< its place among all sets

  FederatedSet(const SeriesSet& of, const LabelSet& own, std::uint32_t place)
      : set(&of),
        values(of.values.data()),
        labels(&own),
        label_text(own.text()),
        scraped(of.scraped_ms),
        measured(of.measured_ms),
        at(place) {}
};

/// Family by family. A family without samples leaves nothing.
class FederateWriter {
 public:
  struct Window {
    std::int64_t now_ms, lookback_ms;  ///< what is older is not served
  };
  /// `gaps` as the selections were made with; it and `out` outlive the writer.
  static std::unique_ptr<FederateWriter> make(text::Format format, Window window,
                                              const LabelPairs& gaps, std::string& out);
  virtual ~FederateWriter() = default;
  FederateWriter(const FederateWriter&) = delete;
  FederateWriter& operator=(const FederateWriter&) = delete;

  virtual void begin(std::string_view name) = 0;
  virtual void end() = 0;
  void write(const Selection& selection, const Selection::Run& run, const FederatedSet& source);
  [[nodiscard]] std::size_t written() const { return written_; }

 protected:
  explicit FederateWriter(Window window) : window_(window) {}

 private:
  virtual void line(const Selection& selection, const Selection::Line& line,
                    const FederatedSet& source, double value, const TimeText& time) = 0;

  const Window window_;
  TimeText own_{0};
  std::size_t written_ = 0;
};

}  // namespace optipod::aggregator
