// SPDX-License-Identifier: Apache-2.0
#include "agent/exporter/collector.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "common/http/gzip.hpp"
#include "tests/agent/exporter/fabricate.hpp"
#include "tests/agent/exporter/scraped.hpp"
#include "tests/support/catch.hpp"

using namespace optipod;
using namespace optipod::exporter;
using namespace optipod::exporter::testing;
using namespace std::chrono_literals;

namespace {

/// A directory of its own, gone at the end.
class Directory {
 public:
  Directory() {
    std::string path = (std::filesystem::temp_directory_path() / "optipod-test-XXXXXX").string();
    REQUIRE(mkdtemp(path.data()) != nullptr);
    path_ = path;
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  [[nodiscard]] std::string segment() const { return path_ / "current.shm"; }

 private:
  std::filesystem::path path_;
};

shm::TickWriter writer(const std::string& path, std::chrono::milliseconds interval = 1h) {
  auto made = shm::TickWriter::create({.path = path, .interval = interval, .max_containers = 8});
  if (!made) FAIL(made.error());
  return std::move(*made);
}

/// A tick whose node has used `seconds` of CPU time, sampled at that many seconds.
shm::Tick tick_of(std::uint64_t seconds) {
  shm::Tick tick = node_tick();
  tick.node.cpu_time.usage_ns = tick.node.sampled_realtime_ns = seconds * 1'000'000'000;
  tick.containers.push_back(container("shop", "cart", "app", 1));
  return tick;
}

Scraped scrape(Collector& collector) {
  std::string page;
  collector.scrape({}, page);
  return Scraped(page);
}

/// A page without the exporter's own values, which each scrape changes.
std::string without_own(const std::string& page) {
  std::istringstream lines(page);
  std::string kept;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("optipod_exporter_") || line.starts_with("process_")) continue;
    kept.append(line).push_back('\n');
  }
  return kept;
}

std::string unpacked(Collector& collector, const View& view) {
  std::string packed;
  REQUIRE(collector.scrape_gzip(view, packed));
  const auto page = http::gzip_decompress(packed, 10'000'000);
  if (!page) FAIL(page.error().what);
  return *page;
}

/// The one state that is 1.
std::string state(const Scraped& page, const std::string& which) {
  std::string found;
  for (const char* s : {"attached", "no_segment", "refused", "truncated", "foreign", "abi_mismatch",
                        "corrupt", "unknown", "live", "hung", "gone", "closed"}) {
    const std::string key = "optipod_exporter_" + which + "_state{state=" + s + ";}";
    if (page.has(key) && page.at(key) == 1) found += s;
  }
  return found;
}

void check_absent(const Scraped& page) {
  CHECK(page.at("optipod_agent_up{}") == 0);
  CHECK_FALSE(page.family("optipod_node_cpus"));
  CHECK_FALSE(page.family("optipod_container_info"));
  CHECK_FALSE(page.family("optipod_agent_ticks_total"));
  CHECK(page.family("optipod_exporter_build_info"));
}

}  // namespace

TEST_CASE("no agent yet, then one, then its clean end, then another") {
  const Directory directory;
  Collector collector({.path = directory.segment()});
  {
    const Scraped page = scrape(collector);
    check_absent(page);
    CHECK(state(page, "attach") == "no_segment");
    CHECK(state(page, "writer") == "unknown");
    CHECK_FALSE(page.family("optipod_sample_timestamp_seconds"));
    CHECK_FALSE(collector.ready());
  }
  auto first = std::make_unique<shm::TickWriter>(writer(directory.segment()));
  {
    const Scraped page = scrape(collector);  // attached, but nothing was published
    check_absent(page);
    CHECK(state(page, "attach") == "attached");
    CHECK_FALSE(collector.ready());
  }
  shm::Tick tick = tick_of(7);
  first->publish(tick);
  CHECK(collector.ready());
  {
    const Scraped page = scrape(collector);
    CHECK(page.at("optipod_agent_up{}") == 1);
    CHECK(page.at("optipod_sample_timestamp_seconds{}") == 7);
    CHECK(page.at("optipod_node_cpu_usage_seconds_total{}") == 7);
    CHECK(page.at("optipod_agent_ticks_total{}") == 1);
    CHECK(state(page, "writer") == "live");
    CHECK(page.at("optipod_exporter_attaches_total{}") == 1);
    CHECK(page.at("optipod_exporter_ticks_read_total{}") == 1);
    CHECK(page.at("optipod_exporter_scrapes_total{}") == 3);
  }
  first->close();
  first.reset();
  {
    const Scraped page = scrape(collector);
    check_absent(page);
    CHECK(page.at("optipod_sample_timestamp_seconds{}") == 7);
    CHECK(state(page, "writer") == "closed");
    CHECK(collector.ready());  // ready stays: the page says what is wrong
  }
  shm::TickWriter second = writer(directory.segment());
  {
    const Scraped page = scrape(collector);
    check_absent(page);  // the old writer's values are not the new one's
    CHECK(page.at("optipod_sample_timestamp_seconds{}") == 7);
  }
  tick = tick_of(3);  // the new life's first tick has the old life's first number
  second.publish(tick);
  {
    const Scraped page = scrape(collector);
    CHECK(page.at("optipod_agent_up{}") == 1);
    CHECK(page.at("optipod_node_cpu_usage_seconds_total{}") == 3);
    CHECK(page.at("optipod_exporter_attaches_total{}") == 2);
    CHECK(state(page, "writer") == "live");
  }
}

TEST_CASE("every tick is shown once it is there, and the same tick is the same text") {
  const Directory directory;
  shm::TickWriter agent = writer(directory.segment());
  Collector collector({.path = directory.segment()});
  for (std::uint64_t i = 1; i <= 20; ++i) {
    shm::Tick tick = tick_of(i);
    agent.publish(tick);
    CHECK(scrape(collector).at("optipod_node_cpu_usage_seconds_total{}") == static_cast<double>(i));
    CHECK(scrape(collector).at("optipod_node_cpu_usage_seconds_total{}") == static_cast<double>(i));
  }
  const Scraped page = scrape(collector);
  CHECK(page.at("optipod_exporter_ticks_read_total{}") == 20);
  CHECK(page.at("optipod_exporter_ticks_lost_total{}") == 0);
}

TEST_CASE("a hung agent's values leave the page and come back") {
  const Directory directory;
  shm::TickWriter agent = writer(directory.segment(), 20ms);
  Collector collector({.path = directory.segment()});
  shm::Tick tick = tick_of(1);
  agent.publish(tick);
  std::this_thread::sleep_for(200ms);
  const Scraped hung = scrape(collector);
  check_absent(hung);
  CHECK(state(hung, "writer") == "hung");
  CHECK(hung.at("optipod_sample_timestamp_seconds{}") == 1);
  bool back = false;
  for (int attempt = 0; attempt < 100 && !back; ++attempt) {  // a busy machine may be late
    tick = tick_of(2);
    agent.publish(tick);
    back = scrape(collector).at("optipod_agent_up{}") == 1;
  }
  CHECK(back);
}

TEST_CASE("a killed agent's values leave the page") {
  const Directory directory;
  int ready[2];
  REQUIRE(pipe(ready) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    auto made = shm::TickWriter::create({.path = directory.segment(), .interval = 1h});
    shm::Tick tick = tick_of(5);
    if (made) made->publish(tick);
    const bool told = write(ready[1], made ? "y" : "n", 1) == 1;
    if (told) pause();
    _exit(1);
  }
  char answer = 'n';
  REQUIRE(read(ready[0], &answer, 1) == 1);
  close(ready[0]);
  close(ready[1]);
  Collector collector({.path = directory.segment()});
  const Scraped before = scrape(collector);
  kill(child, SIGKILL);
  REQUIRE(waitpid(child, nullptr, 0) == child);
  const Scraped after = scrape(collector);
  REQUIRE(answer == 'y');
  CHECK(before.at("optipod_agent_up{}") == 1);
  check_absent(after);
  CHECK(state(after, "writer") == "gone");
  CHECK(after.at("optipod_sample_timestamp_seconds{}") == 5);
}

TEST_CASE("what is no segment is named, costs nothing, and does not stay in the way") {
  const Directory directory;
  Collector collector({.path = directory.segment()});
  const auto put = [&](const std::string& bytes) {
    std::ofstream(directory.segment(), std::ios::binary | std::ios::trunc) << bytes;
    std::filesystem::permissions(directory.segment(), std::filesystem::perms(0640));
  };
  const auto named = [&] {
    const Scraped page = scrape(collector);
    check_absent(page);
    CHECK_FALSE(collector.ready());
    return state(page, "attach");
  };
  put("");
  CHECK(named() == "truncated");
  put(std::string(1 << 16, 'x'));
  CHECK(named() == "foreign");
  std::filesystem::remove(directory.segment());
  std::filesystem::create_directory(directory.segment());
  CHECK(named() == "refused");
  std::filesystem::remove(directory.segment());
  CHECK(named() == "no_segment");

  shm::TickWriter agent = writer(directory.segment());
  shm::Tick tick = tick_of(9);
  agent.publish(tick);
  CHECK(scrape(collector).at("optipod_node_cpu_usage_seconds_total{}") == 9);

  SECTION("truncated while in use") {
    std::filesystem::resize_file(directory.segment(), 4096);
    const Scraped page = scrape(collector);
    check_absent(page);
    CHECK(state(page, "attach") == "truncated");
    CHECK(page.at("optipod_sample_timestamp_seconds{}") == 9);
  }
  SECTION("overwritten with nonsense behind its header") {
    const auto size = std::filesystem::file_size(directory.segment());
    std::fstream file(directory.segment(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096);
    file << std::string(size - 4096, '\x5a');
    file.close();
    check_absent(scrape(collector));
  }
}

TEST_CASE("a compressed page is the page, whatever became of the agent") {
  const Directory directory;
  Collector collector({.path = directory.segment()});
  std::string text;
  const auto check_same = [&](const View& view) {
    text.clear();
    collector.scrape(view, text);
    CHECK(without_own(unpacked(collector, view)) == without_own(text));
  };
  const std::vector<View> views = {
      {},
      {.format = text::Format::kOpenMetrics},
      {.buckets = Buckets::kCompact},
      {.selection = Selection::parse(std::vector<std::string>{"node"}).value()},
      {.selection =
           Selection::parse(std::vector<std::string>{"pressure"}).value()}};  // one too many
  const auto check_all = [&] {
    for (const View& view : views) check_same(view);
  };
  check_all();
  {
    shm::TickWriter agent = writer(directory.segment());
    for (std::uint64_t i = 1; i <= 3; ++i) {
      shm::Tick tick = tick_of(i);
      agent.publish(tick);
      check_all();
      check_same({});  // the tick again
      CHECK(Scraped(text).at("optipod_node_cpu_usage_seconds_total{}") == static_cast<double>(i));
    }
  }
  check_all();
  CHECK(Scraped(text).at("optipod_agent_up{}") == 0);
  shm::TickWriter agent = writer(directory.segment());
  shm::Tick tick = tick_of(7);
  agent.publish(tick);
  check_all();
}

TEST_CASE("scrapes at once take turns") {
  const Directory directory;
  shm::TickWriter agent = writer(directory.segment());
  shm::Tick tick = tick_of(1);
  agent.publish(tick);
  Collector collector({.path = directory.segment()});
  std::vector<std::string> pages(4), packed_pages(4);
  {
    std::vector<std::thread> scrapers;
    scrapers.reserve(pages.size());
    for (std::size_t own = 0; own < pages.size(); ++own) {
      std::string &page = pages[own], &packed = packed_pages[own];
      scrapers.emplace_back([&collector, &page, &packed] {
        for (int i = 0; i < 25; ++i) {
          page.clear();
          collector.scrape({}, page);
          packed.clear();
          collector.scrape_gzip({}, packed);
        }
      });
    }
    for (std::uint64_t i = 2; i <= 50; ++i) {
      tick = tick_of(i);
      agent.publish(tick);
    }
    for (auto& scraper : scrapers) scraper.join();
  }
  for (const auto& page : pages) CHECK(Scraped(page).at("optipod_agent_up{}") == 1);
  for (const auto& packed : packed_pages) {
    const auto page = http::gzip_decompress(packed, 10'000'000);
    REQUIRE(page.has_value());
    CHECK(Scraped(*page).at("optipod_agent_up{}") == 1);
  }
  CHECK(scrape(collector).at("optipod_node_cpu_usage_seconds_total{}") == 50);
  CHECK(scrape(collector).at("optipod_exporter_scrapes_total{}") == 202);
}
