// SPDX-License-Identifier: Apache-2.0
//
// A recorded page as a model of many nodes: its counters go on growing, at a speed of each node's
// own. The text is laid out once; for each answer only digits of what moves are written anew.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

namespace optipod::sim {

/// What stands for the node's number, in labels of a template.
inline constexpr std::string_view kNumberMark = "@@@@@";
inline constexpr std::size_t kMaxNodes = 100'000;  ///< as many as the mark has digits for

/// Which series of a template are served.
enum class Part { kNode, kAll };

/// Two pages of one exporter, the later one taken `seconds` behind the other → a template: the
/// earlier page, in which `value +increase` is a counter that grew, and `value ~` a gauge of bytes
/// that moved. Its node's name and its pods' names get kNumberMark.
tl::expected<std::string, std::string> make_template(std::string_view earlier,
                                                     std::string_view later, double seconds);

/// Not thread-safe: text() is one buffer, written anew for each node.
class Page {
 public:
  /// Of nodes whose agents began up to a day before `begin_ms` (Unix time), and begin anew, with
  /// all counters, every 30 days.
  static tl::expected<Page, std::string> parse(std::string_view text, Part part,
                                               std::int64_t begin_ms);

  /// As node `number` (below kMaxNodes) shows it at that time, which is the time of its sample. A
  /// later page of the same agent holds no smaller counter, and buckets add up in each.
  std::string_view at(std::size_t number, std::int64_t now_ms);
  [[nodiscard]] std::size_t series() const { return series_; }
  [[nodiscard]] std::size_t bytes() const { return text_.size(); }

 private:
  /// A number of fixed width in text_, in units of its last decimal.
  struct Slot {
    std::size_t at = 0;     ///< where it ends
    unsigned digits = 0;    ///< without the point
    unsigned decimals = 0;  ///< behind the point
    double base = 0, per_second = 0;
  };
  void add_line(std::string_view line, double seconds);
  void add_counter(std::string_view value, std::string_view increase, double seconds);
  void write(const Slot& slot, std::uint64_t value);

  std::int64_t begin_ms_ = 0;
  std::string text_;
  std::vector<Slot> counters_, gauges_, times_;
  std::vector<std::size_t> numbers_;  ///< where the node's number stands
  std::size_t series_ = 0;
};

}  // namespace optipod::sim
