// SPDX-License-Identifier: Apache-2.0
//
// What selectors take of a schema, and how each line of it is written: found once for all targets
// that share the schema and agree on the selectors.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "aggregator/selector.hpp"
#include "aggregator/series.hpp"

namespace optipod::aggregator {

/// Texts are copied in blocks of this size: so many bytes behind each can be read.
inline constexpr std::size_t kCopySlack = 16;

/// Views into the schema and the names given; lives as long as they do.
class Selection {
 public:
  /// Labels [from, to) of the target, with a comma between them.
  struct Cut {
    std::uint16_t from, to;
    friend bool operator==(const Cut&, const Cut&) = default;
  };
  static constexpr std::uint32_t kNoCut = 0xffffffff;
  /// A piece of text, then a cut of the target's labels: which of cuts(), or kNoCut.
  struct Piece {
    std::uint32_t at, size;
    std::uint32_t cut;
  };
  struct Line {
    std::uint32_t series;  ///< position in the schema
    std::uint32_t first_piece, pieces : 31, measured : 1;
  };
  struct Run {
    std::string_view name;
    std::uint32_t begin, end;  ///< of lines()
  };

  /// `target` stands for all targets whose labels have the same names. `gaps`, sorted by name, are
  /// the labels that every series gets behind its own when it lacks them.
  Selection(const Schema& schema, const LabelSet& target,
            std::span<const Selector* const> selectors, const LabelPairs& gaps);

  [[nodiscard]] std::span<const Run> runs() const { return runs_; }  ///< by name
  [[nodiscard]] std::span<const Line> lines() const { return lines_; }
  /// name{labels} and a blank: its pieces in turn.
  [[nodiscard]] std::span<const Piece> pieces(const Line& line) const {
    return std::span(pieces_).subspan(line.first_piece, line.pieces);
  }
  /// With kCopySlack readable bytes behind it.
  [[nodiscard]] std::string_view text(const Piece& piece) const {
    return {text_.data() + piece.at, piece.size};
  }
  [[nodiscard]] std::span<const Cut> cuts() const { return cuts_; }
  /// The longest line without the target's labels, value and time.
  [[nodiscard]] std::size_t longest_line() const { return longest_line_; }

 private:
  void add_line(const Schema& schema, std::uint32_t series, const LabelSet& target,
                const LabelPairs& gaps);
  void end_piece(std::uint32_t cut);
  std::uint32_t cut_index(Cut cut);

  std::vector<Run> runs_;
  std::vector<Line> lines_;
  std::vector<Piece> pieces_;
  std::vector<Cut> cuts_;  ///< the few different ones
  std::string text_;       ///< with the slack behind it
  std::size_t piece_at_ = 0, longest_line_ = 0;
};

}  // namespace optipod::aggregator
