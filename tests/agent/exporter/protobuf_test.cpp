// SPDX-License-Identifier: Apache-2.0
// The page as Protobuf, read by a decoder that shares nothing with the writer.
#include <bit>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/exporter/render.hpp"
#include "tests/agent/exporter/fabricate.hpp"
#include "tests/agent/exporter/scraped.hpp"
#include "tests/support/catch.hpp"

using namespace optipod;
using namespace optipod::exporter;
using namespace optipod::exporter::testing;

namespace {

std::uint64_t take_varint(std::string_view& bytes) {
  std::uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    REQUIRE(shift < 70);
    REQUIRE_FALSE(bytes.empty());
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
}

std::string_view take(std::string_view& bytes, std::size_t size) {
  REQUIRE(size <= bytes.size());
  const std::string_view out = bytes.substr(0, size);
  bytes.remove_prefix(size);
  return out;
}

/// A message's fields by number, in order: numbers as they are encoded, doubles by their bits.
struct Message {
  explicit Message(std::string_view bytes) {
    while (!bytes.empty()) {
      const std::uint64_t tag = take_varint(bytes);
      const std::uint64_t kind = tag & 7;
      if (kind == 0) {
        numbers[tag >> 3].push_back(take_varint(bytes));
      } else if (kind == 1) {
        std::uint64_t bits = 0;
        const std::string_view eight = take(bytes, 8);
        for (std::size_t i = 8; i > 0; --i)
          bits = bits << 8 | static_cast<unsigned char>(eight[i - 1]);
        numbers[tag >> 3].push_back(bits);
      } else {
        REQUIRE(kind == 2);
        const std::uint64_t size = take_varint(bytes);
        texts[tag >> 3].push_back(take(bytes, size));
      }
    }
  }
  [[nodiscard]] std::uint64_t number(std::uint64_t field) const {
    REQUIRE(numbers.count(field) == 1);
    REQUIRE(numbers.at(field).size() == 1);
    return numbers.at(field)[0];
  }
  [[nodiscard]] double real(std::uint64_t field) const {
    return std::bit_cast<double>(number(field));
  }
  [[nodiscard]] std::string_view text(std::uint64_t field) const {
    REQUIRE(texts.count(field) == 1);
    REQUIRE(texts.at(field).size() == 1);
    return texts.at(field)[0];
  }
  [[nodiscard]] std::vector<std::string_view> all(std::uint64_t field) const {
    return texts.count(field) == 1 ? texts.at(field) : std::vector<std::string_view>{};
  }
  std::map<std::uint64_t, std::vector<std::uint64_t>> numbers;
  std::map<std::uint64_t, std::vector<std::string_view>> texts;
};

std::int64_t from_zigzag(std::uint64_t value) {
  return static_cast<std::int64_t>(value >> 1 ^ (~(value & 1) + 1));
}

/// Native buckets by the exponent of their bound.
std::map<int, std::int64_t> native(const Message& histogram) {
  std::map<int, std::int64_t> buckets;
  CHECK(histogram.number(5) == 0);  // schema
  CHECK(histogram.real(6) == 0x1p-30);
  if (histogram.all(12).empty()) return buckets;
  const Message span(histogram.text(12));
  auto index = static_cast<int>(from_zigzag(span.number(1)));
  std::int64_t count = 0;
  REQUIRE(histogram.numbers.at(13).size() == span.number(2));
  for (const std::uint64_t delta : histogram.numbers.at(13)) {
    count += from_zigzag(delta);
    buckets[index++] = count;
  }
  return buckets;
}

/// The page's samples, keyed as Scraped keys those of text, and its native histograms.
struct Decoded {
  explicit Decoded(std::string_view page) {
    while (!page.empty()) {
      const std::uint64_t size = take_varint(page);
      const Message family(take(page, size));
      for (const std::string_view metric : family.all(4)) add(family, Message(metric));
    }
  }
  void add(const Message& family, const Message& metric) {
    const std::string name(family.text(1));
    CHECK_FALSE(family.text(2).empty());
    std::map<std::string, std::string> labels;
    for (const std::string_view pair : metric.all(1)) {
      const Message label(pair);
      CHECK(labels.emplace(label.text(1), label.text(2)).second);
    }
    const auto key = [&](const std::string& suffix, const std::string& le = {}) {
      auto with = labels;
      if (!le.empty()) with["le"] = le;
      std::string out = name + suffix + "{";
      for (const auto& [label, value] : with)
        out.append(label).append("=").append(value).append(";");
      return out + "}";
    };
    const std::uint64_t type = family.number(3);
    if (type != 4) {
      const std::uint64_t field = type == 0 ? 3 : 2;  // counter, gauge
      CHECK(samples.emplace(key(""), Message(metric.text(field)).real(1)).second);
      return;
    }
    const Message histogram(metric.text(7));
    samples[key("_count")] = static_cast<double>(histogram.number(1));
    samples[key("_bucket", "+Inf")] = static_cast<double>(histogram.number(1));
    samples[key("_sum")] = histogram.real(2);
    for (const std::string_view bytes : histogram.all(3)) {
      const Message bucket(bytes);
      std::string le;
      text::append_number(le, bucket.real(2));
      if (le.find_first_of(".e") == std::string::npos) le += ".0";
      samples[key("_bucket", le)] = static_cast<double>(bucket.number(1));
    }
    natives[key("")] = native(histogram);
    zeros[key("")] = histogram.number(7);
  }
  std::map<std::string, double> samples;
  std::map<std::string, std::map<int, std::int64_t>> natives;
  std::map<std::string, std::uint64_t> zeros;
};

std::string page_of(const shm::Tick& tick, const View& view) {
  std::string page;
  Renderer renderer;
  render_status({true, tick.node.sampled_realtime_ns}, view, page);
  renderer.render(tick, view, page);
  render_exporter({}, text::SelfMetrics("exporter"), view, page);
  return page;
}

}  // namespace

TEST_CASE("Protobuf says what text says") {
  shm::Tick tick = node_tick();
  tick.containers.push_back(container("shop", "cart", "app", 2));
  tick.containers.push_back(container("", "", "/a\"b\\c\nd,e={}\xff", 3));
  tick.devices.push_back(device("sda", 3));
  for (const Buckets buckets : {Buckets::kFull, Buckets::kCompact}) {
    const View view{.format = text::Format::kProtobuf, .buckets = buckets};
    const Decoded decoded(page_of(tick, view));
    const Scraped text(page_of(tick, {.buckets = buckets}));
    CHECK(decoded.samples.size() == text.size());
    for (const auto& [key, value] : decoded.samples) {
      CAPTURE(key);
      REQUIRE(text.has(key));
      if (!key.starts_with("process_")) CHECK(value == text.at(key));
    }
    CHECK(decoded.natives.size() == 1 + 2 + 2 * 2 + 2 + 3 * (1 + 2) + 1);
  }
}

TEST_CASE("native histograms keep every count, at the bound 6.9 % below its own") {
  const std::string key = "optipod_node_cpu_runqueue_wait_seconds{}";
  shm::Tick tick = node_tick();
  const auto decode = [&] { return Decoded(page_of(tick, {.format = text::Format::kProtobuf})); };
  shm::Histogram& wait = tick.node.cpu.runqueue_wait;
  for (std::size_t k = 0; k < shm::kHistogramBuckets; ++k) {
    wait = {};
    wait.bucket[k] = 5;
    const Decoded decoded = decode();
    CAPTURE(k);
    CHECK(decoded.zeros.at(key) == (k == 0 ? 5 : 0));
    const auto& buckets = decoded.natives.at(key);
    CHECK(buckets.size() == (k == 0 ? 0 : 1));
    if (k > 0) CHECK(buckets.at(static_cast<int>(k) - 30) == 5);
  }
  wait = {};
  wait.bucket[3] = 7;
  wait.bucket[5] = std::uint64_t{1} << 40;
  wait.bucket[31] = 1;
  const Decoded decoded = decode();
  const auto& buckets = decoded.natives.at(key);
  CHECK(buckets.size() == 29);
  CHECK(buckets.at(-27) == 7);
  CHECK(buckets.at(-26) == 0);
  CHECK(buckets.at(-25) == std::int64_t{1} << 40);
  CHECK(buckets.at(1) == 1);
  wait = {};
  CHECK(decode().natives.at(key).empty());

  shm::QueueLengths& lengths = tick.node.queue_lengths;
  lengths = {};
  lengths.looks[0] = 9;
  lengths.looks[1] = 4;  // of one task
  lengths.looks[3] = 2;  // of three or four
  const Decoded queues = decode();
  const std::string length = "optipod_node_runqueue_length{}";
  CHECK(queues.zeros.at(length) == 9);
  CHECK(queues.natives.at(length) == std::map<int, std::int64_t>{{0, 4}, {1, 0}, {2, 2}});
}
