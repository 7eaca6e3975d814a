// SPDX-License-Identifier: Apache-2.0
#include "aggregator/series.hpp"

#include <algorithm>
#include <functional>
#include <numeric>

#include <fmt/format.h>

namespace optipod::aggregator {
namespace {

std::string_view find(std::span<const text::Label> labels, std::string_view name) {
  const auto at = std::lower_bound(
      labels.begin(), labels.end(), name,
      [](const text::Label& label, std::string_view wanted) { return label.name < wanted; });
  return at != labels.end() && at->name == name ? at->value : std::string_view{};
}

std::uint64_t mix(std::uint64_t hash, std::uint64_t more) {
  return (hash ^ more) * 0x9e3779b97f4a7c15 ^ hash >> 32;
}

}  // namespace

LabelSet::LabelSet(std::span<const text::Label> labels) {
  struct Piece {
    std::size_t name, name_size, value, value_size;
  };
  std::vector<Piece> pieces;
  std::vector<std::size_t> escaped;  // which of `labels`
  std::vector<std::size_t> escaped_piece;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const auto& [name, value] = labels[i];
    if (value.empty()) continue;
    const std::size_t begin = arena_.size() + (arena_.empty() ? 0 : 1);
    text::append_label(arena_, name, value);
    const std::size_t at = begin + name.size() + 2;  // behind ="
    if (std::string_view(arena_).substr(at, arena_.size() - at - 1) != value) {
      escaped.push_back(i);
      escaped_piece.push_back(pieces.size());
    }
    pieces.push_back({begin, name.size(), at, value.size()});
  }
  text_size_ = arena_.size();
  for (std::size_t k = 0; k < escaped.size(); ++k) {
    pieces[escaped_piece[k]].value = arena_.size();
    arena_ += labels[escaped[k]].value;
  }
  arena_.shrink_to_fit();  // last: from here on views point into it
  labels_.reserve(pieces.size());
  const std::string_view all = arena_;
  for (const Piece& p : pieces) {
    labels_.push_back(
        {.name = all.substr(p.name, p.name_size), .value = all.substr(p.value, p.value_size)});
  }
  hash_ = std::hash<std::string_view>()(all);
}

std::shared_ptr<const LabelSet> LabelSet::of(const LabelPairs& sorted) {
  std::vector<text::Label> labels;
  labels.reserve(sorted.size());
  for (const auto& [name, value] : sorted) labels.push_back({.name = name, .value = value});
  return std::make_shared<const LabelSet>(labels);
}

const LabelSet& LabelSet::none() {
  static const LabelSet kNone(std::span<const text::Label>{});
  return kNone;
}

std::string_view LabelSet::text(std::size_t from, std::size_t to) const {
  const auto begin_of = [this](std::size_t i) {
    return static_cast<std::size_t>(labels_[i].name.data() - arena_.data());
  };
  const std::size_t begin = begin_of(from);
  const std::size_t end = to < labels_.size() ? begin_of(to) - 1 : text_size_;
  return std::string_view(arena_).substr(begin, end - begin);
}

std::string_view LabelSet::value(std::string_view name) const {
  return find(labels_, name);
}

void append_merged(const LabelSet& a, const LabelSet& b, std::string& out) {
  auto append = [&out, first = true](std::string_view text) mutable {
    if (!first) out.push_back(',');
    first = false;
    out.append(text);
  };
  std::size_t i = 0, k = 0;
  while (i < a.labels().size() || k < b.labels().size()) {
    const bool from_b = i == a.labels().size() ||
                        (k < b.labels().size() && b.labels()[k].name < a.labels()[i].name);
    if (from_b) {
      append(b.text(k, k + 1));
      ++k;
    } else {
      append(a.text(i, i + 1));
      ++i;
    }
  }
}

std::string_view Schema::Series::label(std::string_view label_name) const {
  return label_name == "__name__" ? name : find(labels, label_name);
}

bool operator==(const Schema::Shape& a, const Schema::Shape& b) {
  return a.hash_ == b.hash_ && a.entries == b.entries && a.order == b.order && a.names == b.names &&
         std::equal(a.runs.begin(), a.runs.end(), b.runs.begin(), b.runs.end(),
                    [](const auto& x, const auto& y) { return x.name == y.name; });
}

bool operator==(const Schema& a, const Schema& b) {
  const auto same = [](const auto& x, const auto& y) { return x == y || *x == *y; };
  if (a.hash_ != b.hash_ || !same(a.shape_, b.shape_) || a.sets_.size() != b.sets_.size()) {
    return false;
  }
  for (std::size_t i = 0; i < a.sets_.size(); ++i) {
    if (!same(a.sets_[i], b.sets_[i])) return false;
  }
  return true;
}

std::uint32_t SchemaBuilder::name_index(std::string_view name) {
  if (last_name_ < names_.size() && names_[last_name_] == name) return last_name_;
  const auto [at, fresh] =
      name_indices_.try_emplace(std::string(name), static_cast<std::uint32_t>(names_.size()));
  if (fresh) names_.emplace_back(name);
  return last_name_ = at->second;
}

void SchemaBuilder::add(std::string_view name, std::vector<text::Label> labels, bool measured) {
  std::sort(labels.begin(), labels.end(),
            [](const text::Label& a, const text::Label& b) { return a.name < b.name; });
  std::erase_if(labels, [](const text::Label& label) { return label.value.empty(); });
  const auto twice = std::adjacent_find(
      labels.begin(), labels.end(),
      [](const text::Label& a, const text::Label& b) { return a.name == b.name; });
  if (twice != labels.end() && duplicate_label_.empty()) {
    duplicate_label_ = fmt::format("{}: label {} is given twice", name, twice->name);
  }
  auto set = parts_->label_sets.intern(std::make_shared<const LabelSet>(labels));
  const auto [at, fresh] =
      set_indices_.try_emplace(set.get(), static_cast<std::uint32_t>(sets_.size()));
  if (fresh) sets_.push_back(std::move(set));
  shape_->entries.push_back(
      {.run = name_index(name), .set = at->second & 0x7fffffffU, .measured = measured ? 1U : 0U});
}

/// Makes the runs by name; returns the run of each name index.
std::vector<std::uint32_t> SchemaBuilder::sort_names() {
  std::vector<std::uint32_t> by_name(names_.size()), run_of(names_.size());
  std::iota(by_name.begin(), by_name.end(), 0U);
  std::sort(by_name.begin(), by_name.end(),
            [this](std::uint32_t a, std::uint32_t b) { return names_[a] < names_[b]; });
  for (const std::uint32_t name : by_name) shape_->names += names_[name];
  shape_->names.shrink_to_fit();  // last: from here on views point into it
  std::size_t at = 0;
  for (std::uint32_t r = 0; r < by_name.size(); ++r) {
    run_of[by_name[r]] = r;
    const std::size_t size = names_[by_name[r]].size();
    shape_->runs.push_back({.name = std::string_view(shape_->names).substr(at, size)});
    at += size;
  }
  return run_of;
}

/// Makes the order, of series that have their runs. Whether each is there once.
bool SchemaBuilder::sort_series() {
  Schema::Shape& shape = *shape_;
  for (Schema::Run& run : shape.runs) run.end = 0;
  for (const Schema::Shape::Entry& entry : shape.entries) ++shape.runs[entry.run].end;  // counts
  std::uint32_t at = 0;
  for (Schema::Run& run : shape.runs) {
    run.begin = at;
    at += run.end;
    run.end = run.begin;
  }
  shape.order.resize(shape.entries.size());
  for (std::uint32_t i = 0; i < shape.entries.size(); ++i) {
    shape.order[shape.runs[shape.entries[i].run].end++] = i;
  }
  for (const Schema::Run& run : shape.runs) {
    const auto text = [&](std::uint32_t i) { return sets_[shape.entries[i].set]->text(); };
    const auto begin = shape.order.begin() + run.begin, end = shape.order.begin() + run.end;
    std::sort(begin, end, [&](std::uint32_t a, std::uint32_t b) { return text(a) < text(b); });
    const auto twice = std::adjacent_find(begin, end, [&](std::uint32_t a, std::uint32_t b) {
      return shape.entries[a].set == shape.entries[b].set;
    });
    if (twice != end) return false;
  }
  return true;
}

void SchemaBuilder::leave_out_repeats() {
  std::unordered_map<std::uint64_t, std::uint32_t> known;  // by name and labels
  std::vector<Schema::Shape::Entry> first;
  places_.reserve(shape_->entries.size());
  for (const Schema::Shape::Entry& entry : shape_->entries) {
    const auto [at, fresh] = known.try_emplace(std::uint64_t{entry.run} << 32 | entry.set,
                                               static_cast<std::uint32_t>(first.size()));
    if (fresh) first.push_back(entry);
    places_.push_back(at->second);
  }
  shape_->entries = std::move(first);
}

std::shared_ptr<const Schema> SchemaBuilder::share() {
  auto schema = std::make_shared<Schema>();
  for (const auto& set : sets_) schema->hash_ = mix(schema->hash_, set->hash());
  schema->sets_ = parts_->set_lists.keep(std::move(sets_));
  schema->hash_ = mix(schema->hash_, shape_->hash());
  shape_->entries.shrink_to_fit();
  shape_->runs.shrink_to_fit();
  schema->shape_ = parts_->shapes.intern(std::move(shape_));
  return schema;
}

tl::expected<std::shared_ptr<const Schema>, std::string> SchemaBuilder::finish() {
  if (!duplicate_label_.empty()) return tl::unexpected(duplicate_label_);
  Schema::Shape& shape = *shape_;
  const std::vector<std::uint32_t> run_of = sort_names();
  for (Schema::Shape::Entry& entry : shape.entries) entry.run = run_of[entry.run];
  if (!sort_series()) {
    leave_out_repeats();
    sort_series();
  }
  for (const Schema::Shape::Entry& entry : shape.entries) {
    shape.hash_ = mix(mix(shape.hash_, entry.run), entry.set);
  }
  shape.hash_ = mix(shape.hash_, std::hash<std::string>()(shape.names));
  return share();
}

void SeriesSet::append_labels(std::size_t i, std::string& out) const {
  append_merged(schema->label_set(i), labels ? *labels : LabelSet::none(), out);
}

}  // namespace optipod::aggregator
