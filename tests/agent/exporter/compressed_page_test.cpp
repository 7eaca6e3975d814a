// SPDX-License-Identifier: Apache-2.0
#include "agent/exporter/compressed_page.hpp"

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "agent/exporter/render.hpp"
#include "common/http/gzip.hpp"
#include "tests/agent/exporter/fabricate.hpp"
#include "tests/support/catch.hpp"

using namespace optipod;
using namespace optipod::exporter;
using namespace optipod::exporter::testing;

namespace {

shm::Tick tick_of(std::uint64_t containers) {
  shm::Tick tick = node_tick();
  for (std::uint64_t i = 0; i < containers; ++i)
    tick.containers.push_back(container("shop", "cart-" + std::to_string(i), "app", i));
  tick.devices.push_back(device("sda", 3));
  return tick;
}

/// A compressed page that lives from tick to tick, beside the same as text.
class Pages {
 public:
  explicit Pages(const View& view) : view_(view), page_(view.format, view.buckets) {}

  /// Blocks that had to be made anew; the page is what the text is.
  std::size_t draw(const shm::Tick& tick) {
    page_.begin();
    const std::size_t hidden = renderer_.render(tick, view_, page_);
    REQUIRE(page_.end());
    std::string packed, text;
    http::GzipWriter writer(packed);
    page_.append_to(writer);
    writer.finish();
    CHECK(renderer_.render(tick, view_, text) == hidden);
    const auto unpacked = http::gzip_decompress(packed, text.size());
    if (!unpacked) FAIL(unpacked.error().what);
    const bool same = *unpacked == text;  // too much to print
    CHECK(same);
    return page_.made();
  }
  [[nodiscard]] std::size_t blocks() const { return page_.blocks(); }

 private:
  View view_;
  Renderer renderer_;
  CompressedPage page_;
};

TEST_CASE("only what changed is compressed again") {
  Pages pages({});
  shm::Tick tick = tick_of(100);
  const std::size_t all = pages.draw(tick);
  CHECK(all == pages.blocks());
  CHECK(pages.blocks() > 20);
  CHECK(pages.draw(tick) == 0);

  SECTION("one value of the node") {
    ++tick.node.page_faults;
    CHECK(pages.draw(tick) == 1);
  }
  SECTION("one value in the middle of a family") {
    ++tick.containers[50].cpu_periods;
    CHECK(pages.draw(tick) == 1);
  }
  SECTION("a histogram, by its sum alone") {
    ++tick.containers[50].tcp.rtt.sum_ns;
    CHECK(pages.draw(tick) == 1);
  }
  SECTION("a name, in every family of the container") {
    set(tick.containers[50].container, "apq");
    const std::size_t made = pages.draw(tick);
    CHECK((10 < made && made < pages.blocks()));
  }
  SECTION("a value that is gone") {
    tick.containers[99].valid &= ~shm::kValidTcp;
    CHECK(pages.draw(tick) > 0);
  }
  SECTION("nothing is left of a larger page") {
    const std::size_t before = pages.blocks();
    pages.draw(tick_of(3));
    CHECK(pages.blocks() < before);
    pages.draw(tick_of(0));
    pages.draw(tick);
    CHECK(pages.blocks() == before);
  }
  CHECK(pages.draw(tick) == 0);
}

/// Something happens on the node.
void change(shm::Tick& tick, std::mt19937& random) {
  const auto any = [&random](std::size_t end) { return random() % end; };
  tick.node.cpu_time.usage_ns += any(1'000'000'000);
  for (shm::ContainerRecord& record : tick.containers) {
    switch (any(12)) {
      case 0:
        record = container("shop", std::string(view(record.pod)), "app", any(1'000'000));
        break;
      case 1:
        record.valid ^= std::uint64_t{1} << any(30);
        break;
      case 2:
        record.cpu.runqueue_wait.bucket[any(shm::kHistogramBuckets)] += any(100);
        break;
      case 3:
        record.memory_current_bytes += any(100'000);
        break;
      default:
        break;  // it sleeps
    }
  }
  if (any(4) == 0 && !tick.containers.empty())
    tick.containers.erase(tick.containers.begin() +
                          static_cast<std::ptrdiff_t>(any(tick.containers.size())));
  if (any(4) == 0)
    tick.containers.push_back(container("new", "pod-" + std::to_string(any(50)), "app", any(99)));
  if (any(8) == 0) tick.containers.clear();
  if (any(4) == 0) tick.node.valid ^= std::uint64_t{1} << any(30);
  if (any(8) == 0) tick.devices.push_back(device("sd" + std::to_string(any(9)), any(99)));
}

TEST_CASE("whatever happens, the page is what the text is") {
  std::mt19937 random(11);
  Pages all[] = {
      Pages({}), Pages({.format = text::Format::kOpenMetrics}),
      Pages({.buckets = Buckets::kCompact}),
      Pages({.selection = Selection::parse(std::vector<std::string>{"memory"}).value()})};
  shm::Tick tick = tick_of(40);
  for (int i = 0; i < 40; ++i) {
    change(tick, random);
    for (Pages& pages : all) pages.draw(tick);
  }
}

}  // namespace
