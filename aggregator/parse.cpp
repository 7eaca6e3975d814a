// SPDX-License-Identifier: Apache-2.0
#include "aggregator/parse.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <functional>
#include <utility>

#include <fmt/format.h>

#include "common/text/openmetrics.hpp"

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

struct SharedPages::Page {
  std::shared_ptr<const text::Skeleton> skeleton;
  std::string label_names;
  std::shared_ptr<const Schema> schema;
  std::shared_ptr<std::atomic<std::size_t>> total;  ///< bytes of all skeletons

  Page(std::shared_ptr<const text::Skeleton> of, std::string names,
       std::shared_ptr<const Schema> says, std::shared_ptr<std::atomic<std::size_t>> bytes)
      : skeleton(std::move(of)),
        label_names(std::move(names)),
        schema(std::move(says)),
        total(std::move(bytes)) {
    *total += skeleton->bytes();
  }
  ~Page() { *total -= skeleton->bytes(); }
  Page(const Page&) = delete;
  Page& operator=(const Page&) = delete;

  [[nodiscard]] std::uint64_t hash() const {
    return skeleton->hash() ^ std::hash<std::string>()(label_names);
  }
  friend bool operator==(const Page& a, const Page& b) {
    return *a.skeleton == *b.skeleton && a.label_names == b.label_names && a.schema == b.schema;
  }
};

SharedPages::Stats SharedPages::stats() const {
  return {.schemas = schemas_.size(),
          .label_sets = labels_.size(),
          .skeletons = pages_.size(),
          .skeleton_bytes = *skeleton_bytes_};
}

std::shared_ptr<const SharedPages::Page> SharedPages::keep(
    std::shared_ptr<const text::Skeleton> skeleton, const std::string& label_names,
    std::shared_ptr<const Schema> schema) {
  auto page = pages_.intern(std::make_shared<const Page>(std::move(skeleton), label_names,
                                                         std::move(schema), skeleton_bytes_));
  // Others may be ahead between both lines; then one page more is left out, which is no harm.
  if (*skeleton_bytes_ > max_skeleton_bytes_ && page.use_count() == 1) return nullptr;
  return page;
}

/// Collects values, and names and labels as the schema has them.
class BodyParser::Sink final : public text::ParseSink {
 public:
  explicit Sink(BodyParser& parser)
      : limits_(parser.limits_),
        ours_(parser.labels_->labels()),
        values_(parser.values_),
        own_ms_(parser.own_ms_),
        builder_(&parser.shared_->labels_) {
    values_.clear();
    own_ms_.clear();
  }

  void sample(const text::Sample& sample) override {
    if (!limit_.empty()) return;  // void already: the rest is only checked for syntax
    check(sample);
    if (!limit_.empty()) return;
    made_.clear();
    labels_.clear();
    const std::string_view name = plain_name(sample.name, true, made_);
    for (const text::Label& label : *sample.labels) {
      labels_.push_back({.name = plain_name(label.name, false, made_), .value = label.value});
    }
    make_way();
    builder_.add(name, labels_, is_measured(name));
    values_.push_back(sample.value);
    if (sample.timestamp_ms && own_ms_.empty()) own_ms_.assign(values_.size() - 1, kNoTime);
    if (sample.timestamp_ms || !own_ms_.empty()) {
      own_ms_.push_back(sample.timestamp_ms.value_or(kNoTime));
    }
  }

  tl::expected<std::shared_ptr<const Schema>, BodyError> finish() {
    if (!limit_.empty()) return tl::unexpected(BodyError{BodyError::Kind::kLimit, limit_});
    auto schema = builder_.finish();
    if (schema) return std::move(*schema);
    return tl::unexpected(BodyError{BodyError::Kind::kDuplicate, std::move(schema.error())});
  }

 private:
  void check(const text::Sample& sample) {
    if (values_.size() >= limits_.max_samples) {
      limit_ = fmt::format("more than {} samples", limits_.max_samples);
    } else if (sample.labels->size() + ours_.size() + 1 > limits_.max_labels) {
      limit_ =
          fmt::format("{} has more than {} labels", sample.name.substr(0, 100), limits_.max_labels);
    }
    check(sample.name, limits_.max_label_value_bytes);
    for (const text::Label& label : *sample.labels) {
      check(label.name, limits_.max_label_name_bytes);
      check(label.value, limits_.max_label_value_bytes);
    }
  }
  void check(std::string_view text, std::size_t most) {
    if (text.size() <= most || !limit_.empty()) return;
    limit_ =
        fmt::format("a name or label value of {} bytes; at most {} are taken", text.size(), most);
  }

  /// Renames exposed labels that are in the way of ours.
  void make_way() {
    const auto has = [](std::span<const text::Label> labels, std::string_view name) {
      return std::any_of(labels.begin(), labels.end(),
                         [&](const text::Label& label) { return label.name == name; });
    };
    for (text::Label& label : labels_) {
      // An exposed label without a value is no label.
      if (label.value.empty() || !has(ours_, label.name)) continue;
      std::string renamed = "exported_" + std::string(label.name);
      while (has(ours_, renamed) || has(labels_, renamed)) renamed.insert(0, "exported_");
      label.name = made_.emplace_back(std::move(renamed));
    }
  }

  const ParseLimits& limits_;
  std::span<const text::Label> ours_;
  std::vector<double>& values_;
  std::vector<std::int64_t>& own_ms_;
  SchemaBuilder builder_;
  std::deque<std::string> made_;  ///< renamed labels of one series
  std::vector<text::Label> labels_;
  std::string limit_;
};

BodyParser::BodyParser(const LabelPairs& labels, ParseLimits limits,
                       std::shared_ptr<SharedPages> shared)
    : limits_(limits),
      shared_(shared ? std::move(shared) : std::make_shared<SharedPages>()),
      labels_(LabelSet::of(labels)) {
  for (const text::Label& label : labels_->labels()) label_names_.append(label.name).append(",");
}
BodyParser::~BodyParser() = default;
BodyParser::BodyParser(BodyParser&&) noexcept = default;
BodyParser& BodyParser::operator=(BodyParser&&) noexcept = default;

/// Reads a body as the last one was, if it differs in values only.
bool BodyParser::replay(std::string_view body) {
  if (!page_) return false;
  values_.resize(page_->skeleton->samples());
  own_ms_.resize(page_->skeleton->has_timestamps() ? values_.size() : 0);
  return page_->skeleton->replay(body, values_, own_ms_);
}

/// Reads in full. A body that fails leaves what is known of the last good one.
tl::expected<void, BodyError> BodyParser::learn(std::string_view body, text::Format format) {
  Sink sink(*this);
  std::shared_ptr<const text::Skeleton> skeleton;
  tl::expected<void, text::ParseError> read;
  if (format == text::Format::kOpenMetrics) {
    read = text::parse_openmetrics(body, sink).map([](std::size_t) {});
  } else {
    read =
        text::Skeleton::learn(body, sink).map([&](auto learnt) { skeleton = std::move(learnt); });
  }
  if (!read) {
    return tl::unexpected(
        BodyError{BodyError::Kind::kSyntax,
                  fmt::format("line {}: {}", read.error().line, read.error().what)});
  }
  auto schema = sink.finish();
  if (!schema) return tl::unexpected(std::move(schema.error()));
  schema_ = shared_->schemas_.intern(std::move(*schema));
  page_.reset();  // makes its place
  if (skeleton) page_ = shared_->keep(std::move(skeleton), label_names_, schema_);
  return {};
}

tl::expected<SeriesSet, BodyError> BodyParser::parse(std::string_view body, std::int64_t scraped_ms,
                                                     std::int64_t received_ms,
                                                     text::Format format) {
  if (format != text::Format::kText || !replay(body)) {
    if (auto learnt = learn(body, format); !learnt) {
      return tl::unexpected(std::move(learnt.error()));
    }
  }
  for (std::int64_t& time : own_ms_) {
    if (time > received_ms) time = scraped_ms;
  }
  SeriesSet set{.schema = schema_,
                .values = std::exchange(values_, {}),
                .scraped_ms = scraped_ms,
                .measured_ms = scraped_ms,
                .own_ms = std::exchange(own_ms_, {}),
                .max_age_ms = {},
                .labels = labels_};
  set.values.shrink_to_fit();
  const double measured = value_of(set, "optipod_sample_timestamp_seconds") * 1e3;
  if (value_of(set, "optipod_agent_up") != 0 && measured >= 0 &&
      measured <= static_cast<double>(received_ms)) {
    set.measured_ms = std::llround(measured);
  }
  return set;
}

}  // namespace optipod::aggregator
