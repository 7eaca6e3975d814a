// SPDX-License-Identifier: Apache-2.0
#include "aggregator/parse.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <limits>
#include <utility>

#include <fmt/format.h>

namespace optipod::aggregator {
namespace {

/// Names beyond [a-zA-Z_:][a-zA-Z0-9_:]* are written with underscores, as Prometheus' default
/// escaping does; returns a view of `name` or of the copy put into `made`.
std::string_view plain_name(std::string_view name, bool colon, std::deque<std::string>& made) {
  const auto good = [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (colon && c == ':');
  };
  const bool digit = !name.empty() && name[0] >= '0' && name[0] <= '9';
  if (!digit && std::all_of(name.begin(), name.end(), good)) return name;
  std::string& out = made.emplace_back();
  for (const char c : name) {
    if ((static_cast<unsigned char>(c) & 0xC0) == 0x80) continue;  // one underscore a code point
    out += good(c) ? c : '_';
  }
  if (digit) out[0] = '_';
  return out;
}

}  // namespace

bool is_measured(std::string_view name) {
  return name.starts_with("optipod_node_") || name.starts_with("optipod_container_") ||
         (name.starts_with("optipod_agent_") && name != "optipod_agent_up");
}

double value_of(const SeriesSet& set, std::string_view name) {
  if (!set.schema) return stale();
  const auto runs = set.schema->runs();
  const auto run = std::lower_bound(
      runs.begin(), runs.end(), name,
      [](const Schema::Run& r, std::string_view wanted) { return r.name < wanted; });
  if (run == runs.end() || run->name != name) return stale();
  return set.values[set.schema->order()[run->begin]];
}

/// Collects values and a flat copy of names and labels: for each sample the number of labels, then
/// each string behind its length. Equal copies mean equal series in equal order.
class BodyParser::Sink final : public text::ParseSink {
 public:
  Sink(LabelPairs labels, ParseLimits limits) : limits_(limits), labels_(std::move(labels)) {}

  void start() {
    key_.clear();
    values_.clear();
    own_ms_.clear();
    limit_.clear();
  }

  void sample(const text::Sample& sample) override {
    if (!limit_.empty()) return;  // void already: the rest is only checked for syntax
    if (values_.size() >= limits_.max_samples) {
      limit_ = fmt::format("more than {} samples", limits_.max_samples);
      return;
    }
    if (sample.labels->size() + labels_.size() + 1 > limits_.max_labels) {
      limit_ =
          fmt::format("{} has more than {} labels", sample.name.substr(0, 100), limits_.max_labels);
      return;
    }
    put_number(static_cast<std::uint32_t>(sample.labels->size()));
    put(sample.name, limits_.max_label_value_bytes);
    for (const text::Label& label : *sample.labels) {
      put(label.name, limits_.max_label_name_bytes);
      put(label.value, limits_.max_label_value_bytes);
    }
    values_.push_back(sample.value);
    if (sample.timestamp_ms && own_ms_.empty()) own_ms_.assign(values_.size() - 1, kNoTime);
    if (sample.timestamp_ms || !own_ms_.empty()) {
      own_ms_.push_back(sample.timestamp_ms.value_or(kNoTime));
    }
  }

  tl::expected<SeriesSet, BodyError> finish(std::int64_t scraped_ms, std::int64_t received_ms) {
    if (!limit_.empty()) return tl::unexpected(BodyError{BodyError::Kind::kLimit, limit_});
    if (!schema_ || key_ != schema_key_) {
      auto schema = build();
      if (!schema) {
        return tl::unexpected(BodyError{BodyError::Kind::kDuplicate, std::move(schema.error())});
      }
      schema_ = std::move(*schema);
      schema_key_ = key_;
    }
    for (std::int64_t& time : own_ms_) {
      if (time > received_ms) time = scraped_ms;
    }
    SeriesSet set{.schema = schema_,
                  .values = values_,
                  .scraped_ms = scraped_ms,
                  .measured_ms = scraped_ms,
                  .own_ms = own_ms_};
    const double measured = value_of(set, "optipod_sample_timestamp_seconds") * 1e3;
    if (value_of(set, "optipod_agent_up") != 0 && measured >= 0 &&
        measured <= static_cast<double>(received_ms)) {
      set.measured_ms = std::llround(measured);
    }
    return set;
  }

 private:
  void put_number(std::uint32_t number) {
    char bytes[sizeof number];
    std::memcpy(bytes, &number, sizeof number);
    key_.append(bytes, sizeof number);
  }
  void put(std::string_view text, std::size_t most) {
    if (text.size() > most && limit_.empty()) {
      limit_ =
          fmt::format("a name or label value of {} bytes; at most {} are taken", text.size(), most);
    }
    if (!limit_.empty()) return;
    put_number(static_cast<std::uint32_t>(text.size()));
    key_ += text;
  }

  std::uint32_t get_number(std::size_t& at) const {
    std::uint32_t number = 0;
    std::memcpy(&number, key_.data() + at, sizeof number);
    at += sizeof number;
    return number;
  }
  std::string_view get(std::size_t& at) const {
    const std::uint32_t size = get_number(at);
    const std::string_view text = std::string_view(key_).substr(at, size);
    at += size;
    return text;
  }

  tl::expected<std::shared_ptr<const Schema>, std::string> build() const {
    SchemaBuilder builder;
    std::deque<std::string> made;  // renamed labels of one series
    std::vector<text::Label> labels;
    for (std::size_t at = 0; at < key_.size();) {
      const std::uint32_t count = get_number(at);
      made.clear();
      labels.clear();
      const std::string_view name = plain_name(get(at), true, made);
      for (std::uint32_t i = 0; i < count; ++i) {
        const std::string_view label = plain_name(get(at), false, made);
        labels.push_back({.name = label, .value = get(at)});
      }
      add_ours(labels, made);
      builder.add(name, labels, is_measured(name));
    }
    return builder.finish();
  }

  /// The target's labels; exposed ones in their way are renamed.
  void add_ours(std::vector<text::Label>& labels, std::deque<std::string>& made) const {
    const std::size_t exposed = labels.size();
    const auto taken = [&](std::string_view name) {
      const auto same = [&](const auto& label) { return std::get<0>(label) == name; };
      return std::any_of(labels_.begin(), labels_.end(), same) ||
             std::any_of(labels.begin(), labels.begin() + static_cast<std::ptrdiff_t>(exposed),
                         [&](const text::Label& label) { return label.name == name; });
    };
    for (std::size_t i = 0; i < exposed; ++i) {
      const bool clash = std::any_of(labels_.begin(), labels_.end(), [&](const auto& ours) {
        return ours.first == labels[i].name;
      });
      // An exposed label without a value is no label.
      if (!clash || labels[i].value.empty()) continue;
      std::string renamed = "exported_" + std::string(labels[i].name);
      while (taken(renamed)) renamed.insert(0, "exported_");
      labels[i].name = made.emplace_back(std::move(renamed));
    }
    std::erase_if(labels, [](const text::Label& label) { return label.value.empty(); });
    for (const auto& [name, value] : labels_) labels.push_back({.name = name, .value = value});
  }

  ParseLimits limits_;
  LabelPairs labels_;
  std::string key_, schema_key_;
  std::shared_ptr<const Schema> schema_;
  std::vector<double> values_;
  std::vector<std::int64_t> own_ms_;
  std::string limit_;
};

BodyParser::BodyParser(LabelPairs labels, ParseLimits limits)
    : sink_(std::make_unique<Sink>(std::move(labels), limits)) {}
BodyParser::~BodyParser() = default;
BodyParser::BodyParser(BodyParser&&) noexcept = default;
BodyParser& BodyParser::operator=(BodyParser&&) noexcept = default;

tl::expected<SeriesSet, BodyError> BodyParser::parse(std::string_view body, std::int64_t scraped_ms,
                                                     std::int64_t received_ms) {
  sink_->start();
  if (const auto parsed = text::parse(body, *sink_); !parsed) {
    return tl::unexpected(
        BodyError{BodyError::Kind::kSyntax,
                  fmt::format("line {}: {}", parsed.error().line, parsed.error().what)});
  }
  return sink_->finish(scraped_ms, received_ms);
}

}  // namespace optipod::aggregator
