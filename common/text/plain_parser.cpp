// SPDX-License-Identifier: Apache-2.0
#include "common/text/plain_parser.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include <fmt/format.h>

#include "common/text/number.hpp"
#include "common/text/printable.hpp"
#include "common/text/utf8.hpp"

namespace optipod::text {
namespace {

// Character classes of the grammar, one table look-up each.
enum Class : std::uint8_t { kNameStart = 1, kNameRest = 2, kLabelStart = 4, kLabelRest = 8 };

constexpr std::array<std::uint8_t, 256> make_classes() {
  std::array<std::uint8_t, 256> table{};
  for (unsigned c = 0; c < 256; ++c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    const bool digit = c >= '0' && c <= '9';
    std::uint8_t bits = 0;
    if (letter || c == ':') bits |= kNameStart;
    if (letter || c == ':' || digit) bits |= kNameRest;
    if (letter) bits |= kLabelStart;
    if (letter || digit) bits |= kLabelRest;
    table[c] = bits;
  }
  return table;
}
constexpr std::array<std::uint8_t, 256> kClasses = make_classes();

bool is(char c, std::uint8_t wanted) {
  return (kClasses[static_cast<unsigned char>(c)] & wanted) != 0;
}

/// `\\` and `\n`, and `\"` when `quote`; any other backslash stays, as the server keeps it.
void unescape(std::string_view s, bool quote, std::string& out) {
  for (std::size_t i = 0; i < s.size(); ++i) {
    if (s[i] == '\\' && i + 1 < s.size()) {
      const char next = s[i + 1];
      if (next == 'n' || next == '\\' || (next == '"' && quote)) {
        out.push_back(next == 'n' ? '\n' : next);
        ++i;
        continue;
      }
    }
    out.push_back(s[i]);
  }
}

}  // namespace

const char* PlainParser::line_at(const char* p) {
  p_ = p;
  return line() ? p_ : nullptr;
}

ParseError PlainParser::error() const {
  const std::string_view before(begin_, static_cast<std::size_t>(error_at_ - begin_));
  const auto lines = static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n'));
  const std::size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  return {.line = lines + 1, .column = before.size() - line_start + 1, .what = error_};
}

bool PlainParser::fail(std::string what) {
  error_ = std::move(what);
  error_at_ = p_;
  return false;
}

bool PlainParser::expected(std::string_view what) {
  if (p_ == end_) return fail(fmt::format("expected {}, got the end of the body", what));
  if (*p_ == '\n') return fail(fmt::format("expected {}, got the end of the line", what));
  return fail(fmt::format("expected {}, got '{}'", what, printable({p_, 1})));
}

void PlainParser::skip_blanks() {
  while (p_ != end_ && (*p_ == ' ' || *p_ == '\t')) ++p_;
}

bool PlainParser::take(char c) {
  if (!at(c)) return false;
  ++p_;
  return true;
}

/// Blanks, then a newline or the end of the body.
bool PlainParser::end_of_line(std::string_view what) {
  skip_blanks();
  return p_ == end_ || take('\n') || expected(what);
}

/// The rest of the line; p_ then stands on its newline or at the end.
std::string_view PlainParser::take_line() {
  const char* start = p_;
  p_ = std::find(p_, end_, '\n');
  return {start, static_cast<std::size_t>(p_ - start)};
}

std::string_view PlainParser::take_word(std::uint8_t start, std::uint8_t rest) {
  const char* from = p_;
  if (p_ != end_ && is(*p_, start)) {
    do {
      ++p_;
    } while (p_ != end_ && is(*p_, rest));
  }
  return {from, static_cast<std::size_t>(p_ - from)};
}

bool PlainParser::line() {
  skip_blanks();
  if (p_ == end_) return true;
  if (*p_ == '\n') {
    ++p_;
    return true;
  }
  if (*p_ == '#') return comment();
  return sample();
}

bool PlainParser::comment() {
  ++p_;
  const char* after_hash = p_;
  skip_blanks();
  const std::string_view rest(p_, static_cast<std::size_t>(end_ - p_));
  const bool help = rest.starts_with("HELP");
  const bool keyword = (help || rest.starts_with("TYPE")) && p_ != after_hash && rest.size() > 4 &&
                       (rest[4] == ' ' || rest[4] == '\t');
  if (!keyword) {
    take_line();
    take('\n');
    return true;
  }
  p_ += 4;
  skip_blanks();
  scratch_.clear();
  std::string_view name;
  if (at('"')) {
    Quoted quoted;
    if (!take_quoted(quoted)) return false;
    name = resolve(quoted);
  } else {
    name = take_word(kNameStart, kNameRest);
  }
  if (name.empty()) {
    return expected(help ? "a metric name after HELP" : "a metric name after TYPE");
  }
  const char* text_at = p_;
  std::string_view text = take_line();
  if (!text.empty()) text.remove_prefix(1);  // the one blank behind the name
  take('\n');
  if (help) return help_text(name, text, text_at);
  return type_text(name, text, text_at);
}

bool PlainParser::type_text(std::string_view name, std::string_view text, const char* at) {
  for (const MetricType type : {MetricType::kCounter, MetricType::kGauge, MetricType::kHistogram,
                                MetricType::kSummary, MetricType::kUntyped}) {
    if (text == to_string(type)) {
      sink_.type(name, type);
      return true;
    }
  }
  p_ = at;
  return fail(
      fmt::format("invalid metric type \"{}\" for {}: must be counter, gauge, histogram, "
                  "summary or untyped",
                  printable(text), printable(name)));
}

bool PlainParser::help_text(std::string_view name, std::string_view text, const char* at) {
  if (!utf8_valid(text)) {
    p_ = at;
    return fail(fmt::format("help text of {} is not valid UTF-8", printable(name)));
  }
  if (text.find('\\') == std::string_view::npos) {
    sink_.help(name, text);
  } else {
    // The name may stand in scratch_, so the text gets a place of its own.
    help_.clear();
    unescape(text, false, help_);
    sink_.help(name, help_);
  }
  return true;
}

/// Valid until scratch_ grows.
std::string_view PlainParser::resolve(const Quoted& q) const {
  return q.escaped ? std::string_view(scratch_).substr(q.offset, q.length) : q.raw;
}

/// p_ stands on the opening quote.
bool PlainParser::take_quoted(Quoted& out) {
  const char* start = ++p_;
  unsigned char seen = 0;
  bool escaped = false;
  while (p_ != end_ && *p_ != '"') {
    seen |= static_cast<unsigned char>(*p_);
    if (*p_ == '\\') {
      escaped = true;
      ++p_;
      if (p_ == end_ || *p_ == '\n') return expected("a character after the backslash");
      seen |= static_cast<unsigned char>(*p_);
    }
    ++p_;
  }
  if (p_ == end_) {
    p_ = start;
    return fail("string without a closing quote");
  }
  out.raw = {start, static_cast<std::size_t>(p_ - start)};
  if ((seen & 0x80) != 0 && !utf8_valid(out.raw)) {
    return fail(fmt::format("\"{}\" is not valid UTF-8", printable(out.raw)));
  }
  ++p_;
  out.escaped = escaped;
  if (escaped) {
    out.offset = scratch_.size();
    unescape(out.raw, true, scratch_);
    out.length = scratch_.size() - out.offset;
  }
  return true;
}

bool PlainParser::sample() {
  labels_.clear();
  quoted_.clear();
  scratch_.clear();
  Quoted name{take_word(kNameStart, kNameRest)};
  if (name.raw.empty() && !at('{')) return expected("a metric name, a comment or a blank line");
  skip_blanks();
  if (take('{') && !label_set(name)) return false;
  if (name.raw.empty()) return fail("sample without a metric name");
  return value_and_time(name);
}

/// Behind '{' up to and with '}'. A quoted string alone in it is the metric's name (UTF-8 names).
bool PlainParser::label_set(Quoted& name) {
  for (;;) {
    skip_blanks();
    if (take('}')) break;
    Quoted label;
    if (at('"')) {
      if (!take_quoted(label)) return false;
    } else {
      label.raw = take_word(kLabelStart, kLabelRest);
    }
    if (label.raw.empty()) return expected("a label name or '}'");
    const bool was_quoted = label.raw.data()[-1] == '"';
    skip_blanks();
    if (was_quoted && (at(',') || at('}'))) {
      if (!name.raw.empty()) return fail("a second metric name in the braces");
      name = label;
    } else {
      if (!take('=')) return expected("'=' after the label name");
      skip_blanks();
      if (!at('"')) return expected("a quoted label value");
      Quoted value;
      if (!take_quoted(value)) return false;
      quoted_.push_back({label, value});
    }
    skip_blanks();
    if (take('}')) break;
    if (!take(',')) return expected("',' or '}' after the label");
  }
  labels_.reserve(quoted_.size());
  for (const auto& [label, value] : quoted_) labels_.push_back({resolve(label), resolve(value)});
  return unique_labels();
}

bool PlainParser::unique_labels() {
  constexpr std::size_t kFew = 12;
  const Label* twice = nullptr;
  if (labels_.size() <= kFew) {
    for (std::size_t i = 0; i < labels_.size(); ++i) {
      for (std::size_t k = 0; k < i; ++k) {
        if (labels_[i].name == labels_[k].name) twice = &labels_[i];
      }
    }
  } else {  // sorted: a line of a million labels must not take a million squared
    sorted_.clear();
    for (const Label& label : labels_) sorted_.push_back(&label);
    std::sort(sorted_.begin(), sorted_.end(),
              [](const Label* a, const Label* b) { return a->name < b->name; });
    const auto found =
        std::adjacent_find(sorted_.begin(), sorted_.end(),
                           [](const Label* a, const Label* b) { return a->name == b->name; });
    if (found != sorted_.end()) twice = *found;
  }
  if (twice != nullptr) return fail(fmt::format("label {} is there twice", printable(twice->name)));
  for (const Label& label : labels_) {
    if (label.name == "__name__") return fail("label __name__ is reserved");
  }
  return true;
}

bool PlainParser::value_and_time(const Quoted& name) {
  skip_blanks();
  const char* start = p_;
  while (p_ != end_ && *p_ != ' ' && *p_ != '\n' && *p_ != '\t' && *p_ != '{') ++p_;
  const std::string_view token(start, static_cast<std::size_t>(p_ - start));
  if (token.empty()) return expected("a value after the metric");
  const std::optional<double> value = parse_number(token);
  if (!value) {
    p_ = start;
    return fail(fmt::format("\"{}\" is not a number", printable(token)));
  }
  Sample sample{.name = resolve(name), .labels = &labels_, .value = *value, .value_text = token};
  skip_blanks();
  if (p_ != end_ && *p_ >= '0' && *p_ <= '9') {
    std::int64_t timestamp = 0;
    const auto [next, error] = std::from_chars(p_, end_, timestamp);
    if (error != std::errc()) return fail("timestamp does not fit 64 bits");
    sample.timestamp_text = {p_, static_cast<std::size_t>(next - p_)};
    sample.timestamp_ms = timestamp;
    p_ = next;
    if (!end_of_line("the end of the line after the timestamp")) return false;
  } else if (!end_of_line("a timestamp in digits or the end of the line")) {
    return false;
  }
  ++samples_;
  sink_.sample(sample);
  return true;
}

tl::expected<std::size_t, ParseError> parse_plain(std::string_view body, ParseSink& sink) {
  PlainParser parser(body, sink);
  for (const char *p = body.data(), *end = p + body.size(); p != end;) {
    p = parser.line_at(p);
    if (p == nullptr) return tl::unexpected(parser.error());
  }
  return parser.samples();
}

}  // namespace optipod::text
