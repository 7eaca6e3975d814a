// SPDX-License-Identifier: Apache-2.0
#include "aggregator/parse.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <functional>
#include <utility>

#include <fmt/format.h>

#include "common/text/openmetrics.hpp"
#include "common/text/printable.hpp"

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

/// Where the first series of that name is.
std::optional<std::uint32_t> position_of(const Schema& schema, std::string_view name) {
  const auto runs = schema.runs();
  const auto run = std::lower_bound(
      runs.begin(), runs.end(), name,
      [](const Schema::Run& r, std::string_view wanted) { return r.name < wanted; });
  if (run == runs.end() || run->name != name) return std::nullopt;
  return schema.order()[run->begin];
}

}  // namespace

bool is_measured(std::string_view name) {
  return name.starts_with("optipod_node_") || name.starts_with("optipod_container_") ||
         (name.starts_with("optipod_agent_") && name != "optipod_agent_up");
}

double value_of(const SeriesSet& set, std::string_view name) {
  if (!set.schema) return stale();
  const auto position = position_of(*set.schema, name);
  return position ? set.values[*position] : stale();
}

SharedPages::Stats SharedPages::stats() const {
  return {.schemas = schemas_.size(),
          .shapes = parts_.shapes.size(),
          .label_sets = parts_.label_sets.size(),
          .skeletons = pieces_.size(),
          .skeleton_bytes = *skeleton_bytes_};
}

SharedPages::Pieces SharedPages::keep(const text::Skeleton& skeleton) {
  constexpr std::size_t kPieceBytes = 256;
  std::vector<std::shared_ptr<const text::Skeleton>> kept;
  bool fresh = false;
  for (const auto& piece : skeleton.pieces(kPieceBytes)) {
    *skeleton_bytes_ += piece->bytes();
    kept.push_back(pieces_.intern(
        {piece.get(), [piece, all = skeleton_bytes_](const auto*) { *all -= piece->bytes(); }}));
    fresh = fresh || kept.back().use_count() == 1;
  }
  // Others may be ahead meanwhile; then one page more is left out, which is no harm.
  if (fresh && *skeleton_bytes_ > max_skeleton_bytes_) return {};
  return pages_.keep(std::move(kept));
}

/// Collects values, and names and labels as the schema has them.
class BodyParser::Sink final : public text::ParseSink {
 public:
  explicit Sink(BodyParser& parser)
      : limits_(parser.limits_),
        ours_(parser.labels_->labels()),
        values_(parser.values_),
        own_ms_(parser.own_ms_),
        builder_(&parser.shared_->parts_) {
    values_.clear();
    own_ms_.clear();
    check("__name__", limits_.max_label_name_bytes, ours_limit_);
    for (const text::Label& label : ours_) check(label, ours_limit_);
  }

  void sample(const text::Sample& sample) override {
    if (!limit_.empty()) return;  // void already: the rest is only checked for syntax
    count(sample);
    if (!limit_.empty()) return;
    made_.clear();
    labels_.clear();
    const std::string_view name = plain_name(sample.name, true, made_);
    for (const text::Label& label : *sample.labels) {
      labels_.push_back({.name = plain_name(label.name, false, made_), .value = label.value});
    }
    make_way();
    check(name);
    if (!limit_.empty()) return;
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
    return tl::unexpected(BodyError{BodyError::Kind::kSyntax, std::move(schema.error())});
  }
  std::vector<std::uint32_t>& places() { return builder_.places(); }

 private:
  void count(const text::Sample& sample) {
    if (values_.size() >= limits_.max_samples) {
      limit_ = fmt::format("more than {} samples", limits_.max_samples);
      return;
    }
    // Those that make way for ours are renamed, so the sum is what will be served.
    const auto theirs = std::count_if(sample.labels->begin(), sample.labels->end(),
                                      [](const text::Label& l) { return !l.value.empty(); });
    if (static_cast<std::size_t>(theirs) + ours_.size() + 1 > limits_.max_labels) {
      limit_ = fmt::format("{} has more than {} labels, with its name and its target's",
                           text::printable(sample.name), limits_.max_labels);
    }
  }
  /// A series as it will be served: `name`, labels_ and ours_.
  void check(std::string_view name) {
    limit_ = ours_limit_;
    check(name, limits_.max_label_value_bytes, limit_);
    for (const text::Label& label : labels_) {
      if (!label.value.empty()) check(label, limit_);
    }
  }
  void check(const text::Label& label, std::string& wrong) const {
    check(label.name, limits_.max_label_name_bytes, wrong);
    check(label.value, limits_.max_label_value_bytes, wrong);
  }
  static void check(std::string_view text, std::size_t most, std::string& wrong) {
    if (text.size() <= most || !wrong.empty()) return;
    wrong = fmt::format("a name or label value of {} bytes, \"{}\"; at most {} are taken",
                        text.size(), text::printable(text), most);
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
  std::string ours_limit_;  ///< what is too long of ours; it counts once there is a series
  std::string limit_;
};

BodyParser::BodyParser(const LabelPairs& labels, ParseLimits limits,
                       std::shared_ptr<SharedPages> shared)
    : limits_(limits),
      shared_(shared ? std::move(shared) : std::make_shared<SharedPages>()),
      labels_(LabelSet::of(labels)) {}
BodyParser::~BodyParser() = default;
BodyParser::BodyParser(BodyParser&&) noexcept = default;
BodyParser& BodyParser::operator=(BodyParser&&) noexcept = default;

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
  sample_time_ = position_of(*schema_, "optipod_sample_timestamp_seconds");
  agent_up_ = position_of(*schema_, "optipod_agent_up");
  places_ = std::move(sink.places());
  pieces_ = {};  // makes their place
  if (!skeleton) return {};
  pieces_ = shared_->keep(*skeleton);
  has_timestamps_ = skeleton->has_timestamps();
  return {};
}

/// Whether `body` differs from the last good one in values only; they have been read then.
bool BodyParser::replay(std::string_view body) {
  if (pieces_.empty()) return false;
  values_.resize(places_.empty() ? schema_->size() : places_.size());
  own_ms_.assign(has_timestamps_ ? values_.size() : 0, kNoTime);
  const char* at = body.data();
  const char* const end = at + body.size();
  std::size_t from = 0;
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    const text::Skeleton& piece = *pieces_[i];
    const std::size_t samples = piece.samples();
    at = piece.replay_part(
        at, end, std::span(values_).subspan(from, samples),
        has_timestamps_ ? std::span(own_ms_).subspan(from, samples) : std::span<std::int64_t>());
    if (at == nullptr) return false;
    from += samples;
  }
  return at == end;
}

/// One value a series, of a body that shows some of them again.
void BodyParser::fold(std::int64_t scraped_ms) {
  const bool timed = !own_ms_.empty();
  std::size_t kept = 0;
  for (std::size_t i = 0; i < places_.size(); ++i) {
    const std::size_t at = places_[i];
    if (at == kept) {  // the first of it
      ++kept;
    } else {
      const std::int64_t time = timed ? own_ms_[i] : kNoTime;
      const std::int64_t known = timed && own_ms_[at] != kNoTime ? own_ms_[at] : scraped_ms;
      if (time == kNoTime || time == known) ++repeated_;
      if (time == kNoTime || time <= known) continue;
    }
    values_[at] = values_[i];
    if (timed) own_ms_[at] = own_ms_[i];
  }
  values_.resize(kept);
  if (timed) own_ms_.resize(kept);
}

std::string BodyParser::repeated_series() const {
  std::uint32_t kept = 0;
  for (const std::uint32_t at : places_) {
    if (at != kept++) {
      const Schema::Series series = schema_->at(at);
      return fmt::format("{}{{{}}}", series.name, series.text.substr(0, 200));
    }
  }
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
  samples_ = values_.size();
  repeated_ = 0;
  if (!places_.empty()) fold(scraped_ms);
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
  if (sample_time_ && !(agent_up_ && set.values[*agent_up_] == 0)) {
    const double measured = set.values[*sample_time_] * 1e3;
    if (measured >= 0 && measured <= static_cast<double>(received_ms)) {
      set.measured_ms = std::llround(measured);
    }
  }
  return set;
}

}  // namespace optipod::aggregator
