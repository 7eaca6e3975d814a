// SPDX-License-Identifier: Apache-2.0
#include "agent/top/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>

#include "common/text/utf8.hpp"

namespace optipod::top {
namespace {

/// A character of valid UTF-8, and how many bytes it took.
struct Character {
  char32_t code;
  std::size_t bytes;
};

Character first_of(std::string_view valid) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(valid[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t bytes = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  char32_t code = lead & (0xFFu >> (bytes + 1));
  for (std::size_t i = 1; i < bytes && i < valid.size(); ++i) code = code << 6 | (byte(i) & 0x3Fu);
  return {code, std::min(bytes, valid.size())};
}

struct Range {
  char32_t first, last;
  std::size_t columns;
};

/// The scripts of which every terminal knows how wide they are. Combining marks, directions,
/// joiners and emoji are not among them: terminals disagree on those, and a wrong width spoils the
/// table.
constexpr std::array kShown{
    Range{0x20, 0x7E, 1},     Range{0xA1, 0xAC, 1},     Range{0xAE, 0x2FF, 1},
    Range{0x370, 0x377, 1},   Range{0x37A, 0x37F, 1},   Range{0x384, 0x482, 1},
    Range{0x48A, 0x52F, 1},   Range{0x2010, 0x2027, 1}, Range{0x20A0, 0x20BF, 1},
    Range{0x2190, 0x21FF, 1}, Range{0x2500, 0x25FC, 1}, Range{0x3001, 0x3029, 2},
    Range{0x3041, 0x3096, 2}, Range{0x30A0, 0x30FF, 2}, Range{0x3400, 0x4DBF, 2},
    Range{0x4E00, 0x9FFF, 2}, Range{0xAC00, 0xD7A3, 2}, Range{0xFF01, 0xFF60, 2}};

/// 0: not to be shown.
std::size_t columns_of(char32_t code) {
  for (const Range& range : kShown) {
    if (code >= range.first && code <= range.last) return range.columns;
  }
  return 0;
}

std::string_view ellipsis(Charset charset) {
  return charset == Charset::kUtf8 ? "…" : "~";
}

std::string scaled(double value, double base, std::string_view prefixes, std::string_view unit) {
  std::size_t k = 0;
  while (std::abs(value) >= 999.5 && k < prefixes.size()) value /= base, ++k;
  const int digits = k == 0 || std::abs(value) >= 99.95 ? 0 : 1;
  return fmt::format("{:.{}f}{}{}", value, digits,
                     k == 0 ? std::string_view() : prefixes.substr(k - 1, 1), unit);
}

std::string rate(double value) {
  if (value > 0 && value < 9.95) return fmt::format("{:.1f}", value);
  return scaled(value, 1000, "kMGTPE", "");
}

std::string seconds(double value, Charset charset) {
  const std::string_view micro = charset == Charset::kUtf8 ? "µs" : "us";
  if (value < 999.5e-9) return fmt::format("{:.0f}ns", value * 1e9);
  if (value < 999.5e-6)
    return fmt::format("{:.{}f}{}", value * 1e6, value < 9.95e-6 ? 1 : 0, micro);
  if (value < 999.5e-3) return fmt::format("{:.{}f}ms", value * 1e3, value < 99.5e-3 ? 1 : 0);
  if (value < 119.5) return fmt::format("{:.1f}s", value);
  if (value < 119.5 * 60) return fmt::format("{:.0f}min", value / 60);
  return fmt::format("{:.0f}h", value / 3600);
}

std::string hundredths(double value) {
  if (value < 99.995) return fmt::format("{:.2f}", value);
  return scaled(value, 1000, "kMGTPE", "");
}

std::string percent(double share) {
  const double value = 100 * share;
  return fmt::format("{:.{}f}%", value, value > 0 && value < 9.95 ? 1 : 0);
}

constexpr std::array<std::string_view, 8> kBlocks{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
constexpr std::string_view kAsciiBlocks = "_.:-=+*#";
constexpr std::array<std::string_view, 8> kEighths{"▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"};

}  // namespace

std::size_t width(std::string_view text) {
  std::size_t columns = 0;
  for (Character c{}; !text.empty(); text.remove_prefix(c.bytes)) {
    c = first_of(text);
    columns += columns_of(c.code);
  }
  return columns;
}

std::string printable(std::string_view foreign, Charset charset) {
  std::string shown;
  while (!foreign.empty()) {
    const std::size_t valid = text::utf8_valid_prefix(foreign.substr(0, 4));
    const Character c = valid == 0 ? Character{0, 1} : first_of(foreign.substr(0, valid));
    const bool harmless = columns_of(c.code) > 0 && (charset == Charset::kUtf8 || c.code < 0x80);
    if (harmless) {
      shown.append(foreign.substr(0, c.bytes));
    } else {
      shown.push_back('?');
    }
    foreign.remove_prefix(c.bytes);
  }
  return shown;
}

std::string cut_right(std::string_view text, std::size_t columns, Charset charset) {
  if (width(text) <= columns) return std::string(text);
  if (columns == 0) return {};
  std::size_t bytes = 0, used = 0;
  while (bytes < text.size()) {
    const Character c = first_of(text.substr(bytes));
    if (used + columns_of(c.code) > columns - 1) break;
    used += columns_of(c.code);
    bytes += c.bytes;
  }
  return std::string(text.substr(0, bytes)).append(ellipsis(charset));
}

std::string cut_left(std::string_view text, std::size_t columns, Charset charset) {
  std::size_t left = width(text);
  if (left <= columns) return std::string(text);
  if (columns == 0) return {};
  while (left > columns - 1) {
    const Character c = first_of(text);
    left -= columns_of(c.code);
    text.remove_prefix(c.bytes);
  }
  return std::string(ellipsis(charset)).append(text);
}

std::string pad_left(std::string_view text, std::size_t columns) {
  const std::size_t w = width(text);
  return std::string(columns > w ? columns - w : 0, ' ').append(text);
}

std::string pad_right(std::string_view text, std::size_t columns) {
  const std::size_t w = width(text);
  return std::string(text).append(columns > w ? columns - w : 0, ' ');
}

std::string show(std::optional<double> value, Unit unit, Charset charset) {
  if (!value) return charset == Charset::kUtf8 ? "–" : "-";
  switch (unit) {
    case Unit::kTasks:
    case Unit::kCpus:
      return hundredths(*value);
    case Unit::kPerSecond:
      return rate(*value);
    case Unit::kCount:
      return scaled(*value, 1000, "kMGTPE", "");
    case Unit::kBytes:
    case Unit::kBytesPerSecond:
      return scaled(*value, 1024, "KMGTPE", "B");
    case Unit::kSeconds:
      return seconds(*value, charset);
    case Unit::kShare:
      return percent(*value);
  }
  return {};
}

std::string sparkline(std::span<const std::optional<double>> values, double full,
                      std::size_t columns, Charset charset) {
  if (values.size() > columns) values = values.last(columns);
  std::string out(columns - values.size(), ' ');
  for (const auto& value : values) {
    if (!value) {
      out.push_back(' ');
      continue;
    }
    const double share = full > 0 ? std::clamp(*value / full, 0.0, 1.0) : 0;
    const auto mark = static_cast<std::size_t>(std::ceil(share * 7 - 1e-9));
    if (charset == Charset::kUtf8) {
      out.append(kBlocks[mark]);
    } else {
      out.push_back(kAsciiBlocks[mark]);
    }
  }
  return out;
}

std::string bar(double share, std::size_t columns, Charset charset) {
  share = std::clamp(share, 0.0, 1.0);
  const auto eighths =
      static_cast<std::size_t>(std::ceil(share * static_cast<double>(columns) * 8));
  std::string out;
  if (charset == Charset::kAscii) {
    const std::size_t full = (eighths + 7) / 8;
    out.append(full, '#');
    return out.append(columns - full, ' ');
  }
  for (std::size_t i = 0; i < eighths / 8; ++i) out.append(kEighths[7]);
  std::size_t used = eighths / 8;
  if (eighths % 8 != 0) out.append(kEighths[eighths % 8 - 1]), ++used;
  return out.append(columns - used, ' ');
}

std::string utc(std::uint64_t realtime_ns) {
  const auto seconds = static_cast<std::time_t>(realtime_ns / 1'000'000'000);
  std::tm parts{};
  if (gmtime_r(&seconds, &parts) == nullptr) return "?";
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

}  // namespace optipod::top
