// SPDX-License-Identifier: Apache-2.0
#include <sys/resource.h>
#include <unistd.h>

#include <ctime>
#include <string>
#include <thread>
#include <vector>

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/summary.h>

#include "common/text/self_metrics.hpp"
#include "tests/common/text_cases.hpp"
#include "tests/support/catch.hpp"

namespace optipod::text {
namespace {

double value_of(const test::Keep& keep, const std::string& name) {
  for (const auto& sample : keep.samples) {
    if (sample.name == name) return sample.value;
  }
  FAIL("no sample " << name);
  return 0;
}

TEST_CASE("a program describes itself, and promtool has nothing to say") {
  SelfMetrics metrics("aggregator");
  auto& scrapes = prometheus::BuildCounter()
                      .Name("optipod_aggregator_scrapes_total")
                      .Help("Scrapes, with a\nnewline and a \\ in the help.")
                      .Register(metrics.registry());
  scrapes.Add({{"result", "good \"one\""}}).Increment(1234567);
  prometheus::BuildGauge()
      .Name("optipod_aggregator_ratio")
      .Help("A ratio.")
      .Register(metrics.registry())
      .Add({})
      .Set(0.1 + 0.2);
  auto& histogram = prometheus::BuildHistogram()
                        .Name("optipod_aggregator_wait_seconds")
                        .Help("Waits.")
                        .Register(metrics.registry())
                        .Add({{"verb", "filter"}}, prometheus::Histogram::BucketBoundaries{0.1, 1});
  histogram.Observe(0.05);
  histogram.Observe(5);
  prometheus::BuildSummary()
      .Name("optipod_aggregator_age_seconds")
      .Help("Ages.")
      .Register(metrics.registry())
      .Add({}, prometheus::Summary::Quantiles{{0.5, 0.05}})
      .Observe(3);
  prometheus::BuildGauge().Name("optipod_aggregator_unused").Help("x").Register(metrics.registry());

  std::string body = "# before\n";
  metrics.render(body);
  INFO(body);
  CHECK(body.rfind("# before\n", 0) == 0);
  test::Keep keep;
  REQUIRE(parse(body, keep).has_value());

  CHECK(value_of(keep, "optipod_aggregator_build_info") == 1);
  CHECK(value_of(keep, "optipod_aggregator_scrapes_total") == 1234567);
  CHECK(value_of(keep, "optipod_aggregator_ratio") == 0.1 + 0.2);
  CHECK(body.find("optipod_aggregator_wait_seconds_bucket{verb=\"filter\",le=\"0.1\"} 1\n"
                  "optipod_aggregator_wait_seconds_bucket{verb=\"filter\",le=\"1\"} 1\n"
                  "optipod_aggregator_wait_seconds_bucket{verb=\"filter\",le=\"+Inf\"} 2\n"
                  "optipod_aggregator_wait_seconds_sum{verb=\"filter\"} 5.05\n"
                  "optipod_aggregator_wait_seconds_count{verb=\"filter\"} 2\n") !=
        std::string::npos);
  CHECK(body.find("optipod_aggregator_age_seconds{quantile=\"0.5\"} 3\n") != std::string::npos);
  CHECK(keep.types.count("optipod_aggregator_unused") == 0);

  std::string last;
  for (std::size_t at = body.find("# TYPE "); at != std::string::npos;
       at = body.find("# TYPE ", at + 1)) {
    const std::string name = body.substr(at + 7, body.find(' ', at + 7) - at - 7);
    CHECK(last < name);
    last = name;
  }

  const auto verdict = test::promtool(body.substr(9));
  INFO(verdict.output);
  CHECK(verdict.status == 0);
  CHECK(verdict.output.empty());
}

TEST_CASE("process metrics tell the truth") {
  std::vector<char> ballast(64 * 1024 * 1024, 'x');
  SelfMetrics metrics("exporter");
  std::string body;
  metrics.render(body);
  test::Keep keep;
  REQUIRE(parse(body, keep).has_value());
  const double resident = value_of(keep, "process_resident_memory_bytes");
  CHECK(resident >= static_cast<double>(ballast.size()));
  CHECK(value_of(keep, "process_virtual_memory_bytes") >= resident);
  const double started = value_of(keep, "process_start_time_seconds");
  const auto now = static_cast<double>(time(nullptr));
  CHECK(started <= now + 2);
  CHECK(started > now - 3600);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const double cpu = static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                     1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
  CHECK(value_of(keep, "process_cpu_seconds_total") == Approx(cpu).margin(0.1));
  CHECK(value_of(keep, "process_max_fds") >= 3);

  const double open = value_of(keep, "process_open_fds");
  const int fd = dup(0);
  std::string again;
  metrics.render(again);
  close(fd);
  test::Keep more;
  REQUIRE(parse(again, more).has_value());
  CHECK(value_of(more, "process_open_fds") == open + 1);
}

TEST_CASE("counting and rendering at the same time") {
  SelfMetrics metrics("extender");
  auto& family = prometheus::BuildCounter()
                     .Name("optipod_extender_calls_total")
                     .Help("Calls.")
                     .Register(metrics.registry());
  auto& counter = family.Add({{"verb", "filter"}});
  std::thread counting([&] {
    for (int i = 0; i < 20'000; ++i) counter.Increment();
  });
  for (int i = 0; i < 50; ++i) {
    std::string body;
    metrics.render(body);
    test::Keep keep;
    REQUIRE(parse(body, keep).has_value());
  }
  counting.join();
  CHECK(counter.Value() == 20'000);
}

}  // namespace
}  // namespace optipod::text
