// SPDX-License-Identifier: Apache-2.0
//
// Text as a terminal shows it: columns, foreign names made harmless, numbers with their unit,
// sparklines and bars. Pure; knows no locale: what the terminal can show is an argument.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace optipod::top {

enum class Charset { kAscii, kUtf8 };

/// What a value counts; decides how it is written.
enum class Unit { kTasks, kCpus, kPerSecond, kCount, kBytes, kBytesPerSecond, kSeconds, kShare };

/// Columns that `text` takes, which must be what printable() gave or our own.
std::size_t width(std::string_view text);

/// `foreign` with '?' for all that could do more than stand in its column: control characters
/// (C0, DEL, C1), bytes that are not UTF-8, marks that combine or turn the direction, unassigned
/// and private characters; and for all that is not ASCII where the terminal has no UTF-8.
std::string printable(std::string_view foreign, Charset charset);

/// The first `columns` columns of a text, and "…" (ASCII: "~") at the end if something was cut.
std::string cut_right(std::string_view text, std::size_t columns, Charset charset);
/// Likewise cut at the beginning, where a path says least.
std::string cut_left(std::string_view text, std::size_t columns, Charset charset);
std::string pad_left(std::string_view text, std::size_t columns);   ///< to at least that width
std::string pad_right(std::string_view text, std::size_t columns);  ///< to at least that width

/// At most six columns with unit: "1.52", "12µs", "3.4ms", "1.2GB", "97%", "12.3k".
/// Absent is "–" (ASCII "-"), never zero.
std::string show(std::optional<double> value, Unit unit, Charset charset);

/// One character per value, the last ones that fit into `columns`, right-aligned; the highest
/// stands for `full` or more, blank for absent. 0 has the lowest mark: it was measured.
std::string sparkline(std::span<const std::optional<double>> values, double full,
                      std::size_t columns, Charset charset);

/// `columns` wide, `share` (0..1) of it filled; something above 0 shows at least a trace.
std::string bar(double share, std::size_t columns, Charset charset);

/// "2026-01-31 23:59:59Z" of nanoseconds since the epoch.
std::string utc(std::uint64_t realtime_ns);

}  // namespace optipod::top
