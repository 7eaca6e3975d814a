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

/// Views into the schema and the names given; lives as long as they do.
class Selection {
 public:
  /// What is written between the target's labels: a piece of text, then labels [from, to) of the
  /// target with a comma between them.
  struct Piece {
    std::uint32_t at, size;
    std::uint16_t from, to;
  };
  struct Line {
    std::uint32_t series;  ///< position in the schema
    std::uint32_t first_piece, pieces;
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
  [[nodiscard]] std::string_view text(const Piece& piece) const {
    return std::string_view(text_).substr(piece.at, piece.size);
  }
  /// Bytes of all lines of a target whose labels' text has that size, without value and time; at
  /// most.
  [[nodiscard]] std::size_t bytes(std::size_t target_text) const {
    return text_.size() + lines_.size() * target_text;
  }

 private:
  void add_line(const Schema& schema, std::uint32_t series, const LabelSet& target,
                const LabelPairs& gaps);
  void end_piece(std::size_t from, std::size_t to);

  std::vector<Run> runs_;
  std::vector<Line> lines_;
  std::vector<Piece> pieces_;
  std::string text_;
  std::size_t piece_at_ = 0;
};

}  // namespace optipod::aggregator
