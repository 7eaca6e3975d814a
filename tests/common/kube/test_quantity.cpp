// SPDX-License-Identifier: Apache-2.0
#include <string_view>
#include <utility>
#include <vector>

#include "common/kube/quantity.hpp"
#include "tests/support/catch.hpp"

namespace optipod::kube {
namespace {

TEST_CASE("quantities are read as apimachinery reads them") {
  const std::vector<std::pair<std::string_view, double>> good{{"0", 0},
                                                              {"1", 1},
                                                              {"100m", 0.1},
                                                              {"1.5", 1.5},
                                                              {".5", 0.5},
                                                              {"5.", 5},
                                                              {"+2", 2},
                                                              {"-2", -2},
                                                              {"2Gi", 2147483648},
                                                              {"1e3", 1000},
                                                              {"1E3", 1000},
                                                              {"1E", 1e18},
                                                              {"12e-1", 1.2},
                                                              {"1e+2", 100},
                                                              {"3k", 3000},
                                                              {"3M", 3e6},
                                                              {"1Ki", 1024},
                                                              {"0.5Mi", 524288},
                                                              {"7n", 7e-9},
                                                              {"7u", 7e-6},
                                                              {"1Ei", 1152921504606846976.0},
                                                              {"128974848", 128974848}};
  for (const auto& [text, value] : good) {
    INFO(text);
    const auto parsed = parse_quantity(text);
    REQUIRE(parsed);
    CHECK(*parsed == Approx(value));
  }
  for (const std::string_view bad :
       {"",      "m",    "+",    "1.2.3", "1 ", " 1",   "1mi",
        "1K",    "0x10", "inf",  "nan",   "1e", "1ee3", "1e+-3",
        "1e999", "--1",  "1Gi2", "1,5",   "e3", "1e3m", "1e99999999999999999999"}) {
    INFO(bad);
    CHECK_FALSE(parse_quantity(bad));
  }
}

}  // namespace
}  // namespace optipod::kube
