// SPDX-License-Identifier: Apache-2.0
#include "common/text/ordinary_lines.hpp"

#include "common/text/scan.hpp"
#include "common/text/short_number.hpp"
#include "common/text/utf8.hpp"

namespace optipod::text {

#if OPTIPOD_SCAN
namespace {

constexpr std::size_t kMargin = 64;     ///< a block, and the few characters looked at behind it
constexpr std::size_t kMaxLabels = 16;  ///< uniqueness is checked pair by pair

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::string_view view(const char* from, const char* to) {
  return {from, static_cast<std::size_t>(to - from)};
}

}  // namespace

OrdinaryLines::OrdinaryLines(std::string_view body, ParseSink& sink)
    : end_(body.data() + body.size()),
      last_block_(body.size() < kMargin ? nullptr : end_ - kMargin),
      sink_(sink) {
  labels_.reserve(kMaxLabels);
}

const char* OrdinaryLines::line_at(const char* p) {
  if (last_block_ == nullptr || p > last_block_) return nullptr;
  if (*p == '#') return metadata(p);
  if (*p == '\n') return p + 1;
  return sample(p);
}

const char* OrdinaryLines::sample(const char* p) {
  const char* q = name_end(p);
  if (q == nullptr) return nullptr;
  Sample sample{.name = view(p, q), .labels = &no_labels_};
  if (*q == '{') {
    q = labels(q + 1);
    if (q == nullptr) return nullptr;
    sample.labels = &labels_;
  }
  if (*q != ' ') return nullptr;
  const char* value = q + 1;
  q = take_number(value, end_, sample.value);
  if (q == nullptr || q == end_) return nullptr;
  sample.value_text = view(value, q);
  if (*q == ' ') {
    const char* timestamp = q + 1;
    std::int64_t timestamp_ms = 0;
    q = take_timestamp(timestamp, end_, timestamp_ms);
    if (q == nullptr || q == end_) return nullptr;
    sample.timestamp_ms = timestamp_ms;
    sample.timestamp_text = view(timestamp, q);
  }
  if (*q != '\n') return nullptr;
  ++samples_;
  sink_.sample(sample);
  return q + 1;
}

/// The end of the metric's name at `p`, which '{' or a blank follows.
const char* OrdinaryLines::name_end(const char* p) {
  const auto room = static_cast<std::size_t>(last_block_ - p);
  if (!name_.empty() && name_.size() < room && same_bytes(p, name_.data(), name_.size())) {
    const char* q = p + name_.size();
    if (*q == '{' || *q == ' ') return q;
  }
  if (is_digit(*p)) return nullptr;
  for (const char* q = p; q <= last_block_; q += Block::kSize) {
    const unsigned other = Block(q).not_of_name();
    if (other == 0) continue;
    q += std::countr_zero(other);
    if (q == p || (*q != '{' && *q != ' ')) return nullptr;
    name_ = view(p, q);
    return q;
  }
  return nullptr;
}

/// Labels behind '{' into labels_; returns what is behind '}'.
const char* OrdinaryLines::labels(const char* p) {
  for (std::size_t count = 0;; ++p) {
    if (p > last_block_) return nullptr;
    p = label_name(p, count);
    if (p == nullptr) return nullptr;
    const char* value_end = string_end(p);
    if (value_end == nullptr) return nullptr;
    labels_[count++].value = view(p, value_end);
    p = value_end + 1;
    if (*p == ',') continue;
    if (*p != '}') return nullptr;
    labels_.resize(count);
    return p + 1;
  }
}

/// Reads a label's name and `="` into labels_[index]; returns where the value begins.
const char* OrdinaryLines::label_name(const char* p, std::size_t index) {
  const auto room = static_cast<std::size_t>(last_block_ - p);
  if (index < labels_.size()) {
    const std::string_view known = labels_[index].name;
    if (known.size() < room && same_bytes(p, known.data(), known.size())) {
      const char* q = p + known.size();
      if (q[0] == '=' && q[1] == '"') return q + 2;
    }
  }
  if (is_digit(*p) || index == kMaxLabels) return nullptr;
  const char* q = p;
  while (q <= last_block_ && Block(q).not_of_name() == 0) q += Block::kSize;
  if (q > last_block_) return nullptr;
  q += std::countr_zero(Block(q).not_of_name());
  const std::string_view name = view(p, q);
  if (name.empty() || q[0] != '=' || q[1] != '"') return nullptr;
  if (name == "__name__" || name.find(':') != std::string_view::npos) return nullptr;
  for (std::size_t i = 0; i < index; ++i) {
    if (labels_[i].name == name) return nullptr;
  }
  labels_.resize(index);
  labels_.push_back({.name = name, .value = {}});
  return q + 2;
}

/// The closing quote of the string that begins at `p`.
const char* OrdinaryLines::string_end(const char* p) const {
  unsigned not_ascii = 0;
  for (const char* q = p; q <= last_block_; q += Block::kSize) {
    const Block block(q);
    not_ascii |= block.not_ascii();
    const unsigned stop = block.equal('"') | block.equal('\\');
    if (stop == 0) continue;
    q += std::countr_zero(stop);
    if (*q != '"' || (not_ascii != 0 && !utf8_valid(view(p, q)))) return nullptr;
    return q;
  }
  return nullptr;
}

const char* OrdinaryLines::metadata(const char* p) {
  const std::string_view keyword(p, 7);
  const bool is_help = keyword == "# HELP ";
  if (!is_help && keyword != "# TYPE ") return nullptr;
  const char* name = p + keyword.size();
  const char* q = name_end(name);
  if (q == nullptr || *q != ' ') return nullptr;
  return is_help ? help(q + 1, view(name, q)) : type(q + 1, view(name, q));
}

const char* OrdinaryLines::help(const char* p, std::string_view family) {
  unsigned not_ascii = 0;
  for (const char* q = p; q <= last_block_; q += Block::kSize) {
    const Block block(q);
    not_ascii |= block.not_ascii();
    const unsigned stop = block.equal('\n') | block.equal('\\');
    if (stop == 0) continue;
    q += std::countr_zero(stop);
    if (*q != '\n' || (not_ascii != 0 && !utf8_valid(view(p, q)))) return nullptr;
    sink_.help(family, view(p, q));
    return q + 1;
  }
  return nullptr;
}

const char* OrdinaryLines::type(const char* p, std::string_view family) {
  const std::string_view rest = view(p, end_);
  for (const MetricType type : {MetricType::kGauge, MetricType::kCounter, MetricType::kUntyped,
                                MetricType::kHistogram, MetricType::kSummary}) {
    const std::string_view name = to_string(type);
    if (!rest.starts_with(name) || rest.size() == name.size() || rest[name.size()] != '\n')
      continue;
    sink_.type(family, type);
    return p + name.size() + 1;
  }
  return nullptr;
}
#else
OrdinaryLines::OrdinaryLines(std::string_view, ParseSink& sink)
    : end_(nullptr), last_block_(nullptr), sink_(sink) {}

const char* OrdinaryLines::line_at(const char*) {
  return nullptr;
}
#endif

}  // namespace optipod::text
