// SPDX-License-Identifier: Apache-2.0
//
// Writing protobuf by hand: the wire format, and the field numbers of io.prometheus.client that are
// used in several places (metrics.proto). Messages are strings; a message in another is its bytes.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

namespace optipod::text::protobuf {

namespace family_field {
inline constexpr std::uint32_t kName = 1, kHelp = 2, kType = 3, kMetric = 4;
}
namespace metric_field {
inline constexpr std::uint32_t kLabel = 1, kGauge = 2, kCounter = 3, kUntyped = 5, kTimestampMs = 6,
                               kHistogram = 7;
}
/// Of LabelPair (name, value), Bucket and BucketSpan.
inline constexpr std::uint32_t kFirst = 1, kSecond = 2;
inline constexpr std::uint32_t kValue = 1;  ///< of Gauge, Counter and Untyped
enum Type : std::uint64_t {
  kCounterType = 0,
  kGaugeType = 1,
  kUntypedType = 3,
  kHistogramType = 4
};

// How a value is encoded.
inline constexpr std::uint32_t kVarint = 0, kFixed64 = 1, kBytes = 2;

inline void append_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

inline void append_tag(std::string& out, std::uint32_t field, std::uint32_t kind) {
  append_varint(out, field << 3 | kind);
}

inline void add_integer(std::string& out, std::uint32_t field, std::uint64_t value) {
  append_tag(out, field, kVarint);
  append_varint(out, value);
}

/// sint32, sint64: small in both directions.
inline void add_signed(std::string& out, std::uint32_t field, std::int64_t value) {
  const auto bits = static_cast<std::uint64_t>(value);
  add_integer(out, field, bits << 1 ^ (value < 0 ? ~std::uint64_t{0} : 0));
}

inline void add_double(std::string& out, std::uint32_t field, double value) {
  append_tag(out, field, kFixed64);
  auto bits = std::bit_cast<std::uint64_t>(value);
  for (int i = 0; i < 8; ++i, bits >>= 8) out.push_back(static_cast<char>(bits));
}

inline void add_bytes(std::string& out, std::uint32_t field, std::string_view bytes) {
  append_tag(out, field, kBytes);
  append_varint(out, bytes.size());
  out.append(bytes);
}

}  // namespace optipod::text::protobuf
