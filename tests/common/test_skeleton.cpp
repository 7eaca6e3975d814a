// SPDX-License-Identifier: Apache-2.0
//
// Reading a page again by its skeleton gives what reading it anew gives, or nothing.
#include "common/text/skeleton.hpp"

#include <memory>
#include <string>
#include <vector>

#include "tests/common/text_cases.hpp"
#include "tests/support/catch.hpp"

namespace optipod::text {
namespace {

using namespace std::string_literals;
using test::Keep;
using test::replayed_as_parsed;

std::shared_ptr<const Skeleton> learnt(const std::string& body) {
  Keep keep;
  auto made = Skeleton::learn(body, keep);
  INFO(body);
  REQUIRE(made.has_value());
  REQUIRE((*made)->samples() == keep.samples.size());
  return *made;
}

TEST_CASE("a page with other values is replayed") {
  const auto skeleton = learnt(
      "# HELP a Help with 1 number.\n# TYPE a gauge\na{b=\"1\",c=\"x\"} 1\n\na 2 1700000000000 \n"
      "# comment 5\nb\t3\nc{d=\"4\"}5");
  CHECK(skeleton->samples() == 4);
  CHECK(skeleton->has_timestamps());
  CHECK(replayed_as_parsed(
      *skeleton,
      "# HELP a Help with 1 number.\n# TYPE a gauge\na{b=\"1\",c=\"x\"} -1.5e-3\n\n"
      "a +Inf 0 \n# comment 5\nb\t0.30000000000000004\nc{d=\"4\"}NaN"));
}

TEST_CASE("a page with other bytes between, or no numbers, is not replayed") {
  const auto skeleton = learnt("a{b=\"c\"} 1\nd 2 3\n");
  for (const auto& body : {"a{b=\"c\"} 1\nd 2 3"s,
                           "a{b=\"c\"} 1\nd 2\n"s,
                           "a{b=\"c\"} 1 5\nd 2 3\n"s,
                           "a{b=\"x\"} 1\nd 2 3\n"s,
                           "a{b=\"c\"} 1\nd 2 3\n\n"s,
                           "a{b=\"c\"} 1\nd 2 3\ne 4\n"s,
                           "a{b=\"c\"} 1\n"s,
                           "a{b=\"c\"}"s,
                           "a{b=\"c\"} "s,
                           "a"s,
                           ""s,
                           "a{b=\"c\"} x\nd 2 3\n"s,
                           "a{b=\"c\"} \nd 2 3\n"s,
                           "a{b=\"c\"} 1{\nd 2 3\n"s,
                           "a{b=\"c\"} 0x1\nd 2 3\n"s,
                           "a{b=\"c\"} 1\nd 2 -3\n"s,
                           "a{b=\"c\"} 1\nd 2 3.5\n"s,
                           "a{b=\"c\"} 1\r\nd 2 3\n"s,
                           "a{b=\"c\"} 1\nd 2 9223372036854775808\n"s,
                           "a{b=\"c\"} -nan\nd 2 3\n"s,
                           "a{b=\"c\"} 1e400\nd 2 3\n"s,
                           "a{b=\"c\"}  1\nd 2 3\n"s}) {
    INFO(body);
    CHECK_FALSE(replayed_as_parsed(*skeleton, body));
  }
}

TEST_CASE("a value that follows its name at once is never replayed") {
  CHECK_FALSE(replayed_as_parsed(*learnt("a+1\n"), "a1\n"));
  CHECK_FALSE(replayed_as_parsed(*learnt("a+1\n"), "a+1\n"));
  CHECK(replayed_as_parsed(*learnt("a{}+1\nb{}1 5\n"), "a{}1\nb{}-.5 7\n"));
}

TEST_CASE("cut anywhere, a page is not replayed and nothing behind it is read") {
  const std::string page = "# TYPE a gauge\na{b=\"c\"} 12.5\na{b=\"d\"} 12345678901234567890 77\n";
  const auto skeleton = learnt(page);
  for (std::size_t size = 0; size < page.size(); ++size) {
    // A copy of exactly that size: AddressSanitizer sees a read behind it.
    const std::vector<char> cut(page.data(), page.data() + size);
    std::vector<double> values(2);
    std::vector<std::int64_t> timestamps(2);
    CHECK_FALSE(skeleton->replay({cut.data(), cut.size()}, values, timestamps));
  }
}

TEST_CASE("empty pages and pages of comments have skeletons") {
  CHECK(replayed_as_parsed(*learnt(""), ""));
  CHECK_FALSE(replayed_as_parsed(*learnt(""), "\n"));
  CHECK(replayed_as_parsed(*learnt("# nothing\n"), "# nothing\n"));
  CHECK_FALSE(replayed_as_parsed(*learnt("# nothing\n"), "# nothinG\n"));
}

TEST_CASE("spans of another size are refused") {
  const auto plain = learnt("a 1\nb 2\n");
  std::vector<double> values(2);
  std::vector<std::int64_t> timestamps(2);
  CHECK_FALSE(plain->has_timestamps());
  CHECK(plain->replay("a 3\nb 4\n", values, {}));
  CHECK(values == std::vector<double>{3, 4});
  CHECK_FALSE(plain->replay("a 3\nb 4\n", std::span(values).first(1), timestamps));
  CHECK_FALSE(plain->replay("a 3\nb 4\n", values, std::span(timestamps).first(1)));
  CHECK_FALSE(learnt("a 1 2\nb 2\n")->replay("a 1 2\nb 2\n", values, {}));
}

TEST_CASE("pages that differ in values only have equal skeletons") {
  const auto one = learnt("a{x=\"1\"} 1\nb 22 5\n");
  const auto other = learnt("a{x=\"1\"} 99e9\nb NaN 1700000000000\n");
  CHECK(*one == *other);
  CHECK(one->hash() == other->hash());
  CHECK_FALSE(*one == *learnt("a{x=\"2\"} 1\nb 22 5\n"));
  CHECK_FALSE(*one == *learnt("a{x=\"1\"} 1\nb 22\n"));
  CHECK(one->bytes() < 200);
}

/// Whether the pieces take `body` in turn; then they give what the whole gives.
bool replayed_in_pieces(const Skeleton& whole, const std::string& body, std::size_t least_bytes) {
  const auto pieces = whole.pieces(least_bytes);
  std::vector<double> values(whole.samples()), wanted(whole.samples());
  std::vector<std::int64_t> times(whole.samples(), kNoTimestamp), wanted_times(whole.samples());
  const char* at = body.data();
  const char* const end = at + body.size();
  std::size_t from = 0;
  for (const auto& piece : pieces) {
    at = piece->replay_part(at, end, std::span(values).subspan(from, piece->samples()),
                            std::span(times).subspan(from, piece->samples()));
    if (at == nullptr) break;
    from += piece->samples();
  }
  const bool taken = at == end;
  CHECK(taken == whole.replay(body, wanted, wanted_times));
  if (taken) {
    CHECK(from == whole.samples());
    CHECK(values == wanted);
    CHECK(times == wanted_times);
  }
  return taken;
}

TEST_CASE("a page's pieces in turn take what the whole takes") {
  const std::string page =
      "# HELP a Help.\na{b=\"1\"} 1\na{b=\"2\"} 2 7\n# HELP c Help.\nc 3\n# HELP d Help.\n"
      "d{e=\"f\"} 4\n# the end\n";
  const auto whole = learnt(page);
  CHECK(whole->pieces(1).size() == 3);
  CHECK(whole->pieces(1'000).size() == 1);
  CHECK(*whole->pieces(1'000)[0] == *whole);
  CHECK(*whole->pieces(1)[1] == *learnt("\n# HELP c Help.\nc 3")->pieces(1)[0]);
  for (const std::size_t least : {1, 30, 60, 1'000}) {
    CHECK(replayed_in_pieces(*whole, page, least));
    CHECK_FALSE(replayed_in_pieces(*whole, page + "a 1\n", least));
    for (std::size_t size = 0; size < page.size(); ++size) {
      CHECK_FALSE(replayed_in_pieces(*whole, page.substr(0, size), least));
    }
  }
  CHECK(replayed_in_pieces(*learnt(""), "", 1));
  CHECK(replayed_in_pieces(*learnt("# nothing\n"), "# nothing\n", 1));
}

TEST_CASE("a bad body has no skeleton, and the parser's error") {
  Keep keep;
  const auto made = Skeleton::learn("a 1\nb x\n", keep);
  REQUIRE_FALSE(made.has_value());
  CHECK(made.error().line == 2);
}

}  // namespace
}  // namespace optipod::text
