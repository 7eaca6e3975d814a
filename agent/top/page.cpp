// SPDX-License-Identifier: Apache-2.0
#include "agent/top/page.hpp"

#include <algorithm>

namespace optipod::top {

Line fit(Line line, std::size_t columns, Charset charset) {
  std::size_t used = 0;
  for (std::size_t i = 0; i < line.spans.size(); ++i) {
    Span& span = line.spans[i];
    const std::size_t w = width(span.text);
    if (used + w > columns) {
      span.text = cut_right(span.text, columns - used, charset);
      line.spans.resize(i + 1);
      break;
    }
    used += w;
  }
  return line;
}

Page beside(Page left, std::size_t columns, Page right) {
  left.resize(std::max(left.size(), right.size()));
  for (std::size_t i = 0; i < right.size(); ++i) {
    left[i].to(columns);
    for (Span& span : right[i].spans) left[i].spans.push_back(std::move(span));
  }
  return left;
}

std::string plain(const Page& page) {
  std::string out;
  for (const Line& line : page) {
    for (const Span& span : line.spans) out += span.text;
    out.erase(out.find_last_not_of(' ') + 1);
    out += '\n';
  }
  return out;
}

}  // namespace optipod::top
