// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "agent/exporter/page.hpp"

namespace optipod::exporter {

/// What was written to a page, byte for byte: to tell whether it is what was written before, and to
/// write it again to another page. Comparing costs a tenth of rendering.
class Recording : public Page {
 public:
  /// Writing begins anew. What was recorded before stays to be compared with, and is overwritten
  /// from where the two differ.
  void begin();
  /// Writing has ended. Whether it differs from what was recorded before.
  bool end();
  /// Between end() and begin(), and only while the `more` labels written live.
  void replay(Page& page) const;

  void family(const Metric& metric) override;
  void sample(std::string_view labels, const Label* more, std::uint64_t value) override;
  void sample_number(std::string_view labels, double value) override;
  void sample_seconds(std::string_view labels, const Label* more, std::uint64_t ns) override;
  void histogram(std::string_view labels, const Label* more,
                 const shm::Histogram& histogram) override;
  void queue_lengths(std::string_view labels, const shm::QueueLengths& lengths) override;

 private:
  enum class Kind : std::uint32_t {
    kFamily,
    kSample,
    kNumber,
    kSeconds,
    kHistogram,
    kQueueLengths
  };
  /// Before each call's labels and value. A metric is a static table's, and so is a label that is
  /// no part of `labels`: the same address is the same text.
  struct Call {
    Kind kind;
    std::uint32_t labels_size;
    const void* subject;  ///< kFamily: the Metric; others: `more`
  };

  void put(const void* data, std::size_t size);
  template <class Value>
  void put_call(Kind kind, std::string_view labels, const Label* more, const Value& value);

  std::string bytes_;
  std::size_t at_ = 0;  ///< so much of bytes_ was written since begin()
  bool differs_ = false;
};

}  // namespace optipod::exporter
