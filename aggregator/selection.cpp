// SPDX-License-Identifier: Apache-2.0
#include "aggregator/selection.hpp"

#include <algorithm>

#include "common/text/exposition.hpp"

namespace optipod::aggregator {

Selection::Selection(const Schema& schema, const LabelSet& target,
                     std::span<const Selector* const> selectors, const LabelPairs& gaps) {
  std::vector<const Selector*> by_name;
  for (const Schema::Run& run : schema.runs()) {
    by_name.clear();
    std::copy_if(selectors.begin(), selectors.end(), std::back_inserter(by_name),
                 [&](const Selector* s) { return s->matches_name(run.name); });
    if (by_name.empty()) continue;
    const auto begin = static_cast<std::uint32_t>(lines_.size());
    for (const std::uint32_t i : schema.order().subspan(run.begin, run.end - run.begin)) {
      const LabelSet& labels = schema.label_set(i);
      if (std::any_of(by_name.begin(), by_name.end(), [&](const Selector* s) {
            return s->matches_labels(labels, target, false);
          })) {
        add_line(schema, i, target, gaps);
      }
    }
    const auto end = static_cast<std::uint32_t>(lines_.size());
    if (end != begin) runs_.push_back({run.name, begin, end});
  }
  text_.append(kCopySlack, '\0');
}

std::uint32_t Selection::cut_index(Cut cut) {
  const auto at = std::find(cuts_.begin(), cuts_.end(), cut);
  const auto index = static_cast<std::uint32_t>(at - cuts_.begin());
  if (at == cuts_.end()) cuts_.push_back(cut);
  return index;
}

void Selection::end_piece(std::uint32_t cut) {
  pieces_.push_back({.at = static_cast<std::uint32_t>(piece_at_),
                     .size = static_cast<std::uint32_t>(text_.size() - piece_at_),
                     .cut = cut});
  piece_at_ = text_.size();
}

void Selection::add_line(const Schema& schema, std::uint32_t series, const LabelSet& target,
                         const LabelPairs& gaps) {
  Line line{.series = series,
            .first_piece = static_cast<std::uint32_t>(pieces_.size()),
            .pieces = 0,
            .measured = schema.measured(series) ? 1U : 0U};
  const std::size_t line_at = text_.size();
  const LabelSet& own = schema.label_set(series);
  const auto ours = target.labels();
  text_.append(schema.at(series).name).push_back('{');
  const char* comma = "";
  std::size_t k = 0;
  const auto take_ours = [&](std::size_t to) {
    if (to == k) return;
    text_.append(comma);
    end_piece(cut_index({static_cast<std::uint16_t>(k), static_cast<std::uint16_t>(to)}));
    k = to;
    comma = ",";
  };
  for (std::size_t i = 0; i < own.labels().size(); ++i) {
    std::size_t to = k;
    while (to < ours.size() && ours[to].name < own.labels()[i].name) ++to;
    take_ours(to);
    text_.append(comma).append(own.text(i, i + 1));
    comma = ",";
  }
  take_ours(ours.size());
  for (const auto& [name, value] : gaps) {
    if (!own.value(name).empty() || !target.value(name).empty()) continue;
    text_.append(comma);
    std::string label;
    text::append_label(label, name, value);
    text_.append(label);
    comma = ",";
  }
  text_.append("} ");
  end_piece(kNoCut);
  const std::size_t pieces = pieces_.size() - line.first_piece;
  line.pieces = static_cast<std::uint32_t>(pieces) & 0x7fffffffU;
  longest_line_ = std::max(longest_line_, text_.size() - line_at);
  lines_.push_back(line);
}

}  // namespace optipod::aggregator
