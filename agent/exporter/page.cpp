// SPDX-License-Identifier: Apache-2.0
#include "agent/exporter/page.hpp"

#include <array>

#include "agent/exporter/protobuf_page.hpp"
#include "agent/exporter/text_page.hpp"

namespace optipod::exporter {

std::span<const std::size_t> shown_buckets(Buckets buckets) {
  static constexpr std::array<std::size_t, 21> kFull = {10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20,
                                                        21, 22, 23, 24, 25, 26, 27, 28, 29, 30};
  static constexpr std::array<std::size_t, 10> kCompact = {12, 14, 16, 18, 20, 22, 24, 26, 28, 30};
  static_assert(kFull.back() < shm::kHistogramBuckets);
  if (buckets == Buckets::kCompact) return kCompact;
  return kFull;
}

std::unique_ptr<Page> make_page(std::string& out, text::Format format, Buckets buckets) {
  if (format == text::Format::kProtobuf) return std::make_unique<ProtobufPage>(out, buckets);
  return std::make_unique<TextPage>(out, format, buckets);
}

}  // namespace optipod::exporter
