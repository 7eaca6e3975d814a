// SPDX-License-Identifier: Apache-2.0
#include "aggregator/series.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace optipod::aggregator {

std::string_view Schema::Series::label(std::string_view label_name) const {
  if (label_name == "__name__") return name;
  const auto at = std::lower_bound(
      labels.begin(), labels.end(), label_name,
      [](const text::Label& label, std::string_view wanted) { return label.name < wanted; });
  return at != labels.end() && at->name == label_name ? at->value : std::string_view{};
}

SchemaBuilder::Piece SchemaBuilder::keep(std::string_view text) {
  const Piece piece{schema_->arena_.size(), text.size()};
  schema_->arena_ += text;
  return piece;
}

void SchemaBuilder::add(std::string_view name, std::vector<text::Label> labels, bool measured) {
  std::erase_if(labels, [](const text::Label& label) { return label.value.empty(); });
  std::sort(labels.begin(), labels.end(),
            [](const text::Label& a, const text::Label& b) { return a.name < b.name; });
  const auto twice = std::adjacent_find(
      labels.begin(), labels.end(),
      [](const text::Label& a, const text::Label& b) { return a.name == b.name; });
  if (twice != labels.end() && duplicate_label_.empty()) {
    duplicate_label_ = fmt::format("{}: label {} is given twice", name, twice->name);
  }
  Pending series{.name = keep(name),
                 .first_label = labels_.size(),
                 .labels = labels.size(),
                 .measured = measured};
  std::string rendered;
  for (const text::Label& label : labels) {
    text::append_label(rendered, label.name, label.value);
    const Piece label_name = keep(label.name);
    labels_.emplace_back(label_name, keep(label.value));
  }
  series.text = keep(rendered);
  pending_.push_back(series);
}

tl::expected<std::shared_ptr<const Schema>, std::string> SchemaBuilder::finish() {
  if (!duplicate_label_.empty()) return tl::unexpected(duplicate_label_);
  Schema& schema = *schema_;
  schema.arena_.shrink_to_fit();  // last: from here on views point into it
  schema.labels_.reserve(labels_.size());
  for (const auto& [name, value] : labels_) {
    schema.labels_.push_back({.name = view(name), .value = view(value)});
  }
  schema.series_.reserve(pending_.size());
  schema.order_.reserve(pending_.size());
  for (const Pending& p : pending_) {
    schema.order_.push_back(static_cast<std::uint32_t>(schema.series_.size()));
    schema.series_.push_back({.name = view(p.name),
                              .labels = std::span(schema.labels_).subspan(p.first_label, p.labels),
                              .text = view(p.text),
                              .measured = p.measured});
  }
  const auto key = [&](std::uint32_t i) {
    return std::pair(schema.series_[i].name, schema.series_[i].text);
  };
  std::sort(schema.order_.begin(), schema.order_.end(),
            [&](std::uint32_t a, std::uint32_t b) { return key(a) < key(b); });
  for (std::uint32_t i = 0; i < schema.order_.size(); ++i) {
    const Schema::Series& series = schema.series_[schema.order_[i]];
    if (i > 0 && key(schema.order_[i - 1]) == key(schema.order_[i])) {
      return tl::unexpected(
          fmt::format("{}{{{}}} is there twice", series.name, series.text.substr(0, 200)));
    }
    if (schema.runs_.empty() || schema.runs_.back().name != series.name) {
      schema.runs_.push_back({.name = series.name, .begin = i, .end = i});
    }
    schema.runs_.back().end = i + 1;
  }
  return std::shared_ptr<const Schema>(std::move(schema_));
}

}  // namespace optipod::aggregator
