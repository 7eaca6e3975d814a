// SPDX-License-Identifier: Apache-2.0
#include "aggregator/selector.hpp"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <re2/re2.h>

namespace optipod::aggregator {
namespace {

bool name_start(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_';
}
bool name_char(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

/// Words of PromQL that its grammar takes for no name of a metric, in any case of letters; as the
/// name of a label they are words like others.
bool reserved(std::string_view word) {
  static constexpr std::string_view kWords[] = {"atan2",    "bool", "group_left", "group_right",
                                                "ignoring", "inf",  "nan",        "on"};
  std::string lower(word);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return std::find(std::begin(kWords), std::end(kWords), lower) != std::end(kWords);
}

/// Whether a regular expression asks for single bytes, \C, which RE2 can do and Go's cannot.
bool asks_for_bytes(std::string_view regex) {
  for (std::size_t i = 0; i + 1 < regex.size(); ++i) {
    if (regex[i] == '\\' && regex[++i] == 'C') return true;
  }
  return false;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

void append_utf8(std::string& out, std::uint32_t code) {
  const auto byte = [&](std::uint32_t bits) { out += static_cast<char>(bits); };
  if (code < 0x80) {
    byte(code);
  } else if (code < 0x800) {
    byte(0xC0 | (code >> 6)), byte(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    byte(0xE0 | (code >> 12)), byte(0x80 | ((code >> 6) & 0x3F)), byte(0x80 | (code & 0x3F));
  } else {
    byte(0xF0 | (code >> 18)), byte(0x80 | ((code >> 12) & 0x3F));
    byte(0x80 | ((code >> 6) & 0x3F)), byte(0x80 | (code & 0x3F));
  }
}

/// Recursive descent over one selector. Every method leaves `at_` behind what it took.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  tl::expected<std::vector<Matcher>, std::string> run() {
    space();
    if (at_ < text_.size() && (name_start(text_[at_]) || text_[at_] == ':')) {
      const std::size_t begin = at_;
      while (at_ < text_.size() && (name_char(text_[at_]) || text_[at_] == ':')) ++at_;
      const std::string_view name = text_.substr(begin, at_ - begin);
      if (reserved(name)) return fail(begin, fmt::format("unexpected <{}>", name));
      take_name(std::string(name));
      space();
    } else if (at_ >= text_.size()) {
      return fail(at_, "no expression found in input");
    } else if (text_[at_] != '{') {
      return fail(at_, fmt::format("unexpected {}, expected a metric name or \"{{\"", here()));
    }
    if (at_ < text_.size() && text_[at_] == '{') braces();
    space();
    if (error_.empty() && at_ < text_.size()) {
      return fail(at_, fmt::format("unexpected {} after the selector", here()));
    }
    if (!error_.empty()) return tl::unexpected(error_);
    return std::move(matchers_);
  }

 private:
  tl::unexpected<std::string> fail(std::size_t at, std::string_view what) {
    if (error_.empty()) error_ = fmt::format("1:{}: parse error: {}", at + 1, what);
    return tl::unexpected(error_);
  }
  std::string here() const {
    if (at_ >= text_.size()) return "end of input";
    const char c = text_[at_];
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) {
      return fmt::format("byte 0x{:02x}", static_cast<unsigned char>(c));
    }
    return fmt::format("\"{}\"", c);
  }
  void space() {
    while (at_ < text_.size()) {
      if (text_[at_] == '#') {
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      } else if (std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) {
        ++at_;
      } else {
        return;
      }
    }
  }
  void take_name(std::string name) {
    matchers_.push_back({.label = "__name__", .op = Matcher::Op::kEqual, .value = std::move(name)});
  }

  void braces() {
    ++at_;  // "{"
    for (space(); error_.empty(); space()) {
      if (at_ < text_.size() && text_[at_] == '}') {
        ++at_;
        return;
      }
      matcher();
      space();
      if (!error_.empty() || (at_ < text_.size() && text_[at_] == '}')) continue;
      if (at_ >= text_.size() || text_[at_] != ',') {
        fail(at_, fmt::format("unexpected {} in label matching, expected \",\" or \"}}\"", here()));
        return;
      }
      ++at_;
    }
  }

  void matcher() {
    std::string label;
    const bool quoted = at_ < text_.size() && is_quote(text_[at_]);
    if (quoted) {
      const auto text = string();
      if (!text) return;
      label = *text;
      space();
      if (at_ < text_.size() && (text_[at_] == ',' || text_[at_] == '}')) {
        take_name(std::move(label));  // {"a.metric"}: a name in quotes
        return;
      }
    } else if (at_ < text_.size() && name_start(text_[at_])) {
      const std::size_t begin = at_;
      while (at_ < text_.size() && name_char(text_[at_])) ++at_;
      label = std::string(text_.substr(begin, at_ - begin));
    } else {
      fail(at_, fmt::format("unexpected {} in label matching, expected a label name", here()));
      return;
    }
    space();
    const auto op = operation();
    if (!op) return;
    space();
    const std::size_t value_at = at_;
    if (at_ >= text_.size() || !is_quote(text_[at_])) {
      fail(at_, fmt::format("unexpected {} in label matching, expected a string", here()));
      return;
    }
    auto value = string();
    if (!value) return;
    add(std::move(label), *op, std::move(*value), value_at);
  }

  void add(std::string label, Matcher::Op op, std::string value, std::size_t at) {
    Matcher made{.label = std::move(label), .op = op, .value = std::move(value)};
    if (op == Matcher::Op::kMatch || op == Matcher::Op::kNoMatch) {
      RE2::Options options;
      options.set_log_errors(false);
      options.set_dot_nl(true);  // as Prometheus since 3.0
      if (asks_for_bytes(made.value)) {
        fail(at, "error parsing regexp: invalid escape sequence: `\\C`");
        return;
      }
      auto regex = std::make_shared<const RE2>(made.value, options);
      if (!regex->ok()) {
        fail(at, fmt::format("error parsing regexp: {}", regex->error()));
        return;
      }
      made.regex = std::move(regex);
    }
    matchers_.push_back(std::move(made));
  }

  std::optional<Matcher::Op> operation() {
    static constexpr std::pair<std::string_view, Matcher::Op> kOps[] = {
        {"=~", Matcher::Op::kMatch},
        {"!~", Matcher::Op::kNoMatch},
        {"!=", Matcher::Op::kNotEqual},
        {"=", Matcher::Op::kEqual}};
    for (const auto& [spelled, op] : kOps) {
      if (!text_.substr(at_).starts_with(spelled)) continue;
      at_ += spelled.size();
      return op;
    }
    fail(at_, fmt::format("unexpected {} in label matching, expected one of = != =~ !~", here()));
    return std::nullopt;
  }

  static bool is_quote(char c) { return c == '"' || c == '\'' || c == '`'; }

  /// A Go string: "…" and '…' with escapes, `…` without.
  std::optional<std::string> string() {
    const std::size_t begin = at_;
    const char quote = text_[at_++];
    std::string out;
    while (at_ < text_.size() && text_[at_] != quote) {
      if (quote != '`' && text_[at_] == '\n') break;
      if (quote != '`' && text_[at_] == '\\') {
        if (!escape(quote, out)) {
          fail(at_, "invalid escape sequence");
          return std::nullopt;
        }
      } else {
        out += text_[at_++];
      }
    }
    if (at_ >= text_.size() || text_[at_] != quote) {
      fail(begin, "unterminated quoted string");
      return std::nullopt;
    }
    ++at_;
    return out;
  }

  bool escape(char quote, std::string& out) {
    if (at_ + 1 >= text_.size()) return false;
    const char c = text_[at_ + 1];
    static constexpr std::string_view kLetters = "abfnrtv\\";
    static constexpr std::string_view kMeaning = "\a\b\f\n\r\t\v\\";
    if (const auto i = kLetters.find(c); i != std::string_view::npos) {
      out += kMeaning[i];
    } else if (c == quote) {
      out += c;
    } else if (c >= '0' && c <= '7') {
      return number(1, 3, 8, 255, out, false);
    } else if (c == 'x') {
      return number(2, 2, 16, 255, out, false);
    } else if (c == 'u' || c == 'U') {
      return number(2, c == 'u' ? 4 : 8, 16, 0x10FFFF, out, true);
    } else {
      return false;
    }
    at_ += 2;
    return true;
  }

  bool number(std::size_t skip, std::size_t digits, unsigned base, std::uint32_t max,
              std::string& out, bool code_point) {
    if (at_ + skip + digits > text_.size()) return false;
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < digits; ++i) {
      const int digit = hex_digit(text_[at_ + skip + i]);
      if (digit < 0 || static_cast<unsigned>(digit) >= base || value > (max >> 1)) return false;
      value = value * base + static_cast<unsigned>(digit);
    }
    if (value > max || (code_point && value >= 0xD800 && value < 0xE000)) return false;
    at_ += skip + digits;
    if (code_point) {
      append_utf8(out, value);
    } else {
      out += static_cast<char>(value);
    }
    return true;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::vector<Matcher> matchers_;
  std::string error_;
};

}  // namespace

bool Matcher::matches(std::string_view text) const {
  switch (op) {
    case Op::kEqual:
      return text == value;
    case Op::kNotEqual:
      return text != value;
    case Op::kMatch:
      return RE2::FullMatch(re2::StringPiece(text.data(), text.size()), *regex);
    case Op::kNoMatch:
      return !RE2::FullMatch(re2::StringPiece(text.data(), text.size()), *regex);
  }
  return false;
}

tl::expected<Selector, std::string> Selector::parse(std::string_view text) {
  auto matchers = Parser(text).run();
  if (!matchers) return tl::unexpected(matchers.error());
  Selector selector;
  // "{}" asks for nothing in particular and, in Prometheus, gets it: an empty name is nobody's.
  if (matchers->empty()) matchers->push_back({.label = "__name__"});
  for (Matcher& matcher : *matchers) {
    auto& list = matcher.label == "__name__" ? selector.name_ : selector.labels_;
    list.push_back(std::move(matcher));
  }
  return selector;
}

bool Selector::matches_name(std::string_view name) const {
  return std::all_of(name_.begin(), name_.end(), [&](const Matcher& m) { return m.matches(name); });
}

bool Selector::matches_labels(const LabelSet& series, const LabelSet& target,
                              bool of_target) const {
  return std::all_of(labels_.begin(), labels_.end(), [&](const Matcher& m) {
    const std::string_view value = target.value(m.label);
    if (value.empty() == of_target) return true;
    return m.matches(of_target ? value : series.value(m.label));
  });
}

bool Selector::matches_labels(const Schema::Series& series) const {
  return std::all_of(labels_.begin(), labels_.end(),
                     [&](const Matcher& m) { return m.matches(series.label(m.label)); });
}

}  // namespace optipod::aggregator
