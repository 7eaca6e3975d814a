// SPDX-License-Identifier: Apache-2.0
#include "common/text/ordinary_lines.hpp"

#include <algorithm>

#include "common/text/scan.hpp"
#include "common/text/utf8.hpp"

namespace optipod::text {

#if OPTIPOD_SCAN
namespace {

constexpr std::size_t kMargin = 64;  ///< a block, and the few characters looked at behind it

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// As load_eight() reads them; what is missing is 0.
constexpr std::uint64_t eight(std::string_view characters) {
  std::uint64_t all = 0;
  for (std::size_t i = 0; i < characters.size(); ++i) {
    all |= std::uint64_t{static_cast<unsigned char>(characters[i])} << (8 * i);
  }
  return all;
}

/// The word behind the name in a TYPE line, and the newline.
struct TypeLine {
  std::uint64_t first, mask;
  char last;  ///< when there are nine
  std::size_t size;
  MetricType type;
};
constexpr TypeLine type_line(std::string_view word, MetricType type) {
  const std::size_t in_first = std::min<std::size_t>(word.size(), 8);
  return {.first = eight(word.substr(0, in_first)),
          .mask = ~std::uint64_t{0} >> (64 - 8 * in_first),
          .last = word.back(),
          .size = word.size(),
          .type = type};
}
constexpr std::array<TypeLine, 5> kTypeLines = {
    type_line("gauge", MetricType::kGauge), type_line("counter", MetricType::kCounter),
    type_line("histogram", MetricType::kHistogram), type_line("summary", MetricType::kSummary),
    type_line("untyped", MetricType::kUntyped)};

std::string_view view(const char* from, const char* to) {
  return {from, static_cast<std::size_t>(to - from)};
}

}  // namespace

OrdinaryLines::OrdinaryLines(std::string_view body, ParseSink& sink)
    : end_(body.data() + body.size()),
      last_block_(body.size() < kMargin ? nullptr : end_ - kMargin),
      numbers_(body.data(), end_),
      sink_(sink) {
  labels_.reserve(kMaxLabels);
}

const char* OrdinaryLines::lines_at(const char* p) {
  if (last_block_ == nullptr) return p;
  while (p <= last_block_) {
    const char* next = *p == '#' ? metadata(p) : *p == '\n' ? p + 1 : sample(p);
    if (next == nullptr) break;
    p = next;
  }
  return p;
}

inline bool OrdinaryLines::begins_with(const char* p, const char* known, std::size_t size) const {
  return static_cast<std::ptrdiff_t>(size) < last_block_ - p && same_bytes(p, known, size);
}

inline const char* OrdinaryLines::sample(const char* p) {
  const char* q = known_form(p);
  if (q == nullptr) q = new_form(p);
  return q == nullptr ? nullptr : value(q);
}

/// A line of the form that the sample before had; returns where its value begins.
inline const char* OrdinaryLines::known_form(const char* p) {
  if (form_size_ == 0 || !begins_with(p, form_[0].begin, form_[0].size)) return nullptr;
  p += form_[0].size;
  for (std::size_t i = 1; i < form_size_; ++i) {
    const char* const value_end = string_end(p);
    if (value_end == nullptr) return nullptr;
    labels_[i - 1].value = view(p, value_end);
    p = value_end;
    if (!begins_with(p, form_[i].begin, form_[i].size)) return nullptr;
    p += form_[i].size;
  }
  return p;
}

const char* OrdinaryLines::new_form(const char* p) {
  form_size_ = 0;
  const char* from = p;
  p = name_end(p);
  if (p == nullptr) return nullptr;
  sample_.name = view(from, p);
  sample_.labels = &no_labels_;
  std::size_t count = 0;
  if (*p == '{') {
    do {
      p = label_name(p + 1, count);
      if (p == nullptr) return nullptr;
      form_[count] = {from, static_cast<std::size_t>(p - from)};
      from = string_end(p);
      if (from == nullptr) return nullptr;
      labels_[count++].value = view(p, from);
      p = from + 1;
      if (p > last_block_) return nullptr;
    } while (*p == ',');
    if (*p != '}') return nullptr;
    ++p;
    labels_.resize(count);
    sample_.labels = &labels_;
  }
  if (*p != ' ') return nullptr;
  ++p;
  form_[count] = {from, static_cast<std::size_t>(p - from)};
  form_size_ = count + 1;
  return p;
}

/// The number at `p` and the rest of the line.
inline const char* OrdinaryLines::value(const char* p) {
  const char* q = numbers_.value(p, sample_.value);
  if (q == nullptr || q == end_) return nullptr;
  sample_.value_text = view(p, q);
  sample_.timestamp_ms.reset();
  sample_.timestamp_text = {};
  if (*q == ' ') {
    const char* const begin = q + 1;
    std::int64_t ms = 0;
    q = numbers_.timestamp(begin, ms);
    if (q == nullptr || q == end_) return nullptr;
    sample_.timestamp_ms = ms;
    sample_.timestamp_text = view(begin, q);
  }
  if (*q != '\n') return nullptr;
  ++samples_;
  sink_.sample(sample_);
  return q + 1;
}

/// The end of the metric's name at `p`, which '{' or a blank follows.
const char* OrdinaryLines::name_end(const char* p) {
  if (!name_.empty() && begins_with(p, name_.data(), name_.size())) {
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

/// Reads a label's name and `="` into labels_[index]; returns where the value begins.
const char* OrdinaryLines::label_name(const char* p, std::size_t index) {
  if (index < labels_.size()) {
    const std::string_view known = labels_[index].name;
    if (begins_with(p, known.data(), known.size())) {
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
inline const char* OrdinaryLines::string_end(const char* p) const {
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
  constexpr std::size_t kKeyword = 7;
  constexpr std::uint64_t kHelp = eight("# HELP "), kType = eight("# TYPE ");
  constexpr std::uint64_t kMask = (std::uint64_t{1} << (8 * kKeyword)) - 1;
  const std::uint64_t keyword = load_eight(p) & kMask;
  const bool is_help = keyword == kHelp;
  if (!is_help && keyword != kType) return nullptr;
  const char* name = p + kKeyword;
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
  if (p > last_block_) return nullptr;
  for (const TypeLine& line : kTypeLines) {
    if (((load_eight(p) ^ line.first) & line.mask) != 0 || p[line.size] != '\n') continue;
    if (line.size > 8 && p[8] != line.last) continue;
    sink_.type(family, line.type);
    return p + line.size + 1;
  }
  return nullptr;
}
#else
OrdinaryLines::OrdinaryLines(std::string_view, ParseSink& sink)
    : end_(nullptr), last_block_(nullptr), numbers_(nullptr, nullptr), sink_(sink) {}

const char* OrdinaryLines::lines_at(const char* p) {
  return p;
}
#endif

}  // namespace optipod::text
