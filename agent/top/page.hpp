// SPDX-License-Identifier: Apache-2.0
//
// A screen as styled text: what layouts make and the terminal shows.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/top/text.hpp"

namespace optipod::top {

/// Attributes only underline what the text says already.
enum class Style { kPlain, kBold, kDim, kTitle, kSelected, kHeading, kAccent, kGood, kWarn, kBad };

struct Span {
  std::string text;  ///< printable
  Style style = Style::kPlain;
};

/// Adds spans from left to right.
struct Line {
  std::vector<Span> spans;

  Line& add(std::string text, Style style = Style::kPlain) {
    spans.push_back({std::move(text), style});
    return *this;
  }
  /// Blanks up to this column.
  Line& to(std::size_t column, Style style = Style::kPlain) {
    const std::size_t w = columns();
    if (w < column) add(std::string(column - w, ' '), style);
    return *this;
  }
  [[nodiscard]] std::size_t columns() const {
    std::size_t w = 0;
    for (const Span& span : spans) w += width(span.text);
    return w;
  }
};

using Page = std::vector<Line>;

/// Where a page is shown.
struct Canvas {
  std::size_t columns = 80;
  std::size_t rows = 24;  ///< 0: as many as there are
  Charset charset = Charset::kUtf8;
};

/// What of a line fits into `columns`.
Line fit(Line line, std::size_t columns, Charset charset);

/// One page to the right of the other, which takes `columns`.
Page beside(Page left, std::size_t columns, Page right);

/// The lines as text, each ended by a newline and without blanks before it.
std::string plain(const Page& page);

}  // namespace optipod::top
