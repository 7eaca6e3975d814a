// SPDX-License-Identifier: Apache-2.0
#include "aggregator/scrape_moment.hpp"

#include <chrono>
#include <map>
#include <set>
#include <string>

#include "tests/support/catch.hpp"

using namespace optipod::aggregator;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

TEST_CASE("a moment comes once an interval, and always later") {
  const Moment moment{5s, 1'234ms};
  CHECK(moment.next(Clock::time_point(100s)) == Clock::time_point(101'234ms));
  CHECK(moment.next(Clock::time_point(101'233ms)) == Clock::time_point(101'234ms));
  CHECK(moment.next(Clock::time_point(101'234ms)) == Clock::time_point(106'234ms));
  CHECK(moment.next(Clock::time_point(102s)) == Clock::time_point(106'234ms));
  // One that lies behind the interval's end is the next interval's.
  const Moment late{5s, 5'050ms};
  CHECK(late.next(Clock::time_point(100s)) == Clock::time_point(100'050ms));
}

TEST_CASE("a target has the same moment each time; another's is its own") {
  CHECK(moment_of("node", 5s, {0, 2}) == moment_of("node", 5s, {0, 2}));
  std::set<std::chrono::nanoseconds> offsets;
  for (int i = 0; i < 20; ++i) {
    offsets.insert(moment_of("node" + std::to_string(i), 5s, {0, 2}).offset);
  }
  CHECK(offsets.size() > 10);
}

TEST_CASE("moments are spread over all ticks of the interval, and each is one thread's") {
  constexpr unsigned kTargets = 10'000;
  for (const auto interval : {std::chrono::nanoseconds(5s), std::chrono::nanoseconds(1s),
                              std::chrono::nanoseconds(30ms), std::chrono::nanoseconds(15s)}) {
    for (const unsigned threads : {1U, 2U, 5U}) {
      INFO(interval.count() << " ns, " << threads << " threads");
      const auto tick = tick_of(interval);
      const auto ticks = static_cast<std::size_t>(interval / tick);
      std::map<std::chrono::nanoseconds, std::set<unsigned>> threads_at;
      std::map<std::chrono::nanoseconds, std::size_t> targets_at;
      for (unsigned i = 0; i < kTargets; ++i) {
        const ScrapeThread thread{i % threads, threads};
        const Moment moment = moment_of("node" + std::to_string(i), interval, thread);
        CHECK(moment.interval == interval);
        REQUIRE(moment.offset % tick == 0ns);
        REQUIRE(moment.offset >= 0ns);
        REQUIRE(moment.offset < interval + threads * tick);
        threads_at[moment.offset % interval].insert(thread.number);
        ++targets_at[moment.offset % interval];
      }
      CHECK(targets_at.size() >= ticks * 9 / 10);
      for (const auto& [at, count] : targets_at) {
        INFO(at.count() << " ns: " << count);
        CHECK(count <= 3 * kTargets / ticks);
      }
      if (interval % (threads * tick) != 0ns) continue;  // the last turn is cut
      for (const auto& [at, its] : threads_at) CHECK(its.size() == 1);
    }
  }
}

TEST_CASE("targets with short intervals are asked at least fifty moments apart") {
  CHECK(tick_of(5s) == 100ms);
  CHECK(tick_of(60s) == 100ms);
  CHECK(tick_of(1s) == 20ms);
  CHECK(tick_of(50ns) == 1ns);
}
