// SPDX-License-Identifier: Apache-2.0
//
// A metric and how its samples are read from a record. To add one: an entry in the table of its
// subject (families/), such as
//
//   {{Subject::kNode, Topic::kMemory, "page_faults_total", MetricType::kCounter, "", "", "...",
//     "...", "..."},
//    shm::kValidVmEvents, [](Series& s, const shm::NodeRecord& r) { s.value(r.page_faults); }},
//
// Then docs/metrics.md, of which the test of the definitions leaves what it has to be.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "agent/exporter/metric.hpp"
#include "agent/exporter/page.hpp"

namespace optipod::exporter {

/// Writes what one record has to say to the current family.
class Series {
 public:
  Series(Page& page, std::string_view labels) : page_(page), labels_(labels) {}

  void value(std::uint64_t value) { page_.sample(labels_, nullptr, value); }
  void seconds(std::uint64_t ns) { page_.sample_seconds(labels_, nullptr, ns); }
  /// With a label whose value is anything.
  void value(std::string_view name, std::string_view label, std::uint64_t value) {
    std::string labels(labels_);
    text::append_label(labels, name, label);
    page_.sample(labels, nullptr, value);
  }
  void thousandths(std::uint64_t milli) { seconds(milli * 1'000'000); }
  void histogram(const shm::Histogram& h) { page_.histogram(labels_, nullptr, h); }
  void queue_lengths(const shm::QueueLengths& l) { page_.queue_lengths(labels_, l); }

  /// One series for each label.
  template <std::size_t N>
  void values(const std::array<Label, N>& more, const std::uint64_t (&values)[N]) {
    for (std::size_t i = 0; i < N; ++i) page_.sample(labels_, &more[i], values[i]);
  }
  template <std::size_t N>
  void seconds(const std::array<Label, N>& more, const std::uint64_t (&ns)[N]) {
    for (std::size_t i = 0; i < N; ++i) page_.sample_seconds(labels_, &more[i], ns[i]);
  }
  template <std::size_t N>
  void histograms(const std::array<Label, N>& more, const shm::Histogram (&histograms)[N]) {
    for (std::size_t i = 0; i < N; ++i) page_.histogram(labels_, &more[i], histograms[i]);
  }
  /// 1 for the label at `which`, 0 for the others.
  template <std::size_t N>
  void state(const std::array<Label, N>& more, std::size_t which) {
    for (std::size_t i = 0; i < N; ++i) page_.sample(labels_, &more[i], i == which ? 1 : 0);
  }
  /// 1, with labels whose values are anything.
  void info(std::initializer_list<Label> more) {
    std::string labels(labels_);
    for (const Label& label : more) text::append_label(labels, label.name, label.value);
    page_.sample(labels, nullptr, 1);
  }

 private:
  Page& page_;
  std::string_view labels_;
};

/// A metric of records of one kind.
template <class Record>
struct Family {
  Metric metric;
  std::uint64_t valid;  ///< bits of Record::valid the value needs; 0: none
  void (*write)(Series&, const Record&);
};

/// A record and what tells its series from those of others.
template <class Record>
struct Row {
  std::string labels;  ///< as text::append_label renders them
  const Record* record;
};

template <class Record>
bool is_valid(const Record& record, std::uint64_t bits) {
  if constexpr (requires { record.valid; }) {
    return (record.valid & bits) == bits;
  } else {
    return true;
  }
}

/// Text of a NUL-padded field; one without any NUL ends at its size.
template <std::size_t N>
std::string_view view(const char (&field)[N]) {
  return {field, strnlen(field, N)};
}

}  // namespace optipod::exporter
