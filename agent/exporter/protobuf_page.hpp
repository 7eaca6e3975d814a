// SPDX-License-Identifier: Apache-2.0
//
// io.prometheus.client.MetricFamily, each behind its length: what Prometheus asks for when it takes
// native histograms. Seven messages of numbers and texts, which are a few lines to write;
// libprotobuf would cost a compiler in the build and 3 MB in the image, and copy each label of each
// series.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/exporter/page.hpp"

namespace optipod::exporter {

/// Histograms are there twice: with the bounds that text shows, and native. Those have the bounds
/// 2^n s (schema 0), the record's are 2^k ns, and 2^30 ns are 1.074 s: a native bound stands for
/// one that is 7.4 % above it. What lies above 2^30 ns is in the bucket that ends at 2 s.
class ProtobufPage : public Page {
 public:
  ProtobufPage(std::string& out, Buckets buckets) : out_(out), buckets_(shown_buckets(buckets)) {}
  ~ProtobufPage() override { end_family(); }

  void family(const Metric& metric) override;
  void sample(std::string_view labels, const Label* more, std::uint64_t value) override;
  void sample_number(std::string_view labels, double value) override;
  void sample_seconds(std::string_view labels, const Label* more, std::uint64_t ns) override;
  void histogram(std::string_view labels, const Label* more,
                 const shm::Histogram& histogram) override;
  void queue_lengths(std::string_view labels, const shm::QueueLengths& lengths) override;

 private:
  void begin_family();
  void end_family();
  void begin_metric(std::string_view labels, const Label* more);
  void add_label(std::string_view name, std::string_view value);
  void add_labels(std::string_view labels);
  void end_metric(std::uint32_t field);
  void add_scalar(std::string_view labels, const Label* more, double value);
  void add_bounds(const shm::Histogram& histogram);
  void add_bound(std::uint64_t up_to, double bound);
  /// `one`: the bucket that ends at 1.
  void add_native(std::span<const std::uint64_t> buckets, std::int64_t one);

  std::string& out_;
  const std::span<const std::size_t> buckets_;
  const Metric* metric_ = nullptr;
  std::string family_;         ///< the message of the family; "" when it has no sample
  std::string one_;            ///< the message of a metric
  std::string value_, inner_;  ///< of its value, and of what is in that
  std::string unescaped_;
};

}  // namespace optipod::exporter
