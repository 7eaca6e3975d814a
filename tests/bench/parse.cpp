// SPDX-License-Identifier: Apache-2.0
//
// Parsing pages, anew and by their skeleton.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "common/text/parse.hpp"
#include "common/text/plain_parser.hpp"
#include "common/text/skeleton.hpp"
#include "tests/bench/parse_pages.hpp"
#include "tests/support/bench.hpp"

namespace optipod::bench {
namespace {

using Clock = std::chrono::steady_clock;

/// GB/s of the fastest of many passes over `bytes`.
template <class Pass>
double fastest(std::size_t bytes, const Pass& pass) {
  double best = std::numeric_limits<double>::infinity();
  const auto until = Clock::now() + std::chrono::milliseconds(400);
  do {
    const auto begin = Clock::now();
    pass();
    best = std::min(best, std::chrono::duration<double, std::nano>(Clock::now() - begin).count());
  } while (Clock::now() < until);
  return static_cast<double>(bytes) / best;
}

/// Looks at all that it is told, so that nothing is left out.
struct Consume final : text::ParseSink {
  std::size_t labels = 0;
  double sum = 0;
  void sample(const text::Sample& sample) override {
    labels += sample.labels->size();
    sum += sample.value;
  }
};

int run(int argc, char** argv) {
  Report report(argc, argv);
  for (const Page& page : parse_pages()) {
    Consume sink;
    const double plain = fastest(page.first.size(), [&] { text::parse_plain(page.first, sink); });
    const double cold = fastest(page.first.size(), [&] { text::parse(page.first, sink); });
    const auto skeleton = text::Skeleton::learn(page.first, sink);
    if (!skeleton) return 1;
    std::vector<double> values((*skeleton)->samples());
    std::vector<std::int64_t> timestamps((*skeleton)->samples());
    bool good = true;
    const double hot = fastest(page.second.size(), [&] {
      good = good && (*skeleton)->replay(page.second, values, timestamps);
    });
    if (!good) return 1;
    std::printf("%s %zu bytes %zu samples, skeleton %zu: plain %.2f cold %.2f hot %.2f GB/s\n",
                page.name.c_str(), page.first.size(), values.size(), (*skeleton)->bytes(), plain,
                cold, hot);
  }
  return 0;
}

}  // namespace
}  // namespace optipod::bench

int main(int argc, char** argv) {
  return optipod::bench::run(argc, argv);
}
