// SPDX-License-Identifier: Apache-2.0
//
// What a Fetcher's thread asks over and over is made of: connections that stand, and replies that
// come whole.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "common/http/fetch_request.hpp"
#include "common/http/standing.hpp"
#include "common/http/whole_reply.hpp"
#include "tests/common/raw_socket.hpp"
#include "tests/support/catch.hpp"

namespace optipod::http {
namespace {

using namespace std::string_literals;
using test::Raw;
using Clock = Standing::Clock;

class Nobody final : public Fetcher::Receiver {
 public:
  void receive(Fetcher::Answer) override {}
};

std::shared_ptr<const Fetcher::Request> request_to(const std::string& authority) {
  return Fetcher::prepare("http://" + authority + "/metrics",
                          std::make_shared<const ClientOptions>());
}

/// Gives `standing` one end of a connection, and returns the other.
Raw connect(Standing& standing, const std::string& authority) {
  std::array<int, 2> ends{};
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
  standing.add(authority, ends[0], Clock::now());
  return Raw(ends[1]);
}

void ask(Standing::Connection& connection, const std::shared_ptr<const Fetcher::Request>& request,
         std::shared_ptr<Fetcher::Receiver> receiver = std::make_shared<Nobody>()) {
  connection.request = request;
  connection.receiver = std::move(receiver);
}

/// As when the reply has come.
void rest(Standing::Connection& connection) {
  connection.request.reset();
  connection.receiver.reset();
}

bool is_closed(const Raw& peer) {
  return peer.closed_within(std::chrono::seconds(0));
}

int drained(Standing& standing) {
  int told = 0;
  standing.drain([&](Standing::Connection& connection) {
    ++told;
    rest(connection);
  });
  return told;
}

TEST_CASE("a connection at rest serves who asks its host, and nobody else meanwhile") {
  Standing standing;
  const auto first = request_to("a:1"), same_host = request_to("a:1"), other = request_to("b:1");
  CHECK(standing.find(*first) == nullptr);
  const Raw peer = connect(standing, "a:1");
  Standing::Connection* const connection = standing.find(*first);
  REQUIRE(connection != nullptr);
  CHECK(standing.find(*other) == nullptr);
  CHECK(standing.find(*same_host) == connection);
  CHECK(standing.find(*first) == connection);
  ask(*connection, first);
  CHECK(standing.find(*first) == nullptr);
  CHECK(standing.find(*same_host) == nullptr);
  rest(*connection);
  CHECK(standing.find(*same_host) == connection);
  standing.close(*connection);
  CHECK(is_closed(peer));
  CHECK(standing.find(*first) == nullptr);
}

TEST_CASE("who comes to the place of a connection that has gone is not taken for it") {
  Standing standing;
  const auto to_a = request_to("a:1"), to_b = request_to("b:1");
  const Raw a = connect(standing, "a:1");
  Standing::Connection* const place = standing.find(*to_a);
  REQUIRE(place != nullptr);
  standing.close(*place);
  const Raw b = connect(standing, "b:1");
  CHECK(standing.find(*to_a) == nullptr);
  CHECK(standing.find(*to_b) == place);  // else this shows nothing
}

TEST_CASE("a host has two connections at the most") {
  Standing standing;
  const auto request = request_to("a:1");
  const Raw one = connect(standing, "a:1"), two = connect(standing, "a:1");
  const Raw three = connect(standing, "a:1");
  CHECK((is_closed(one) || is_closed(two)));
  CHECK_FALSE((is_closed(one) && is_closed(two)));
  CHECK_FALSE(is_closed(three));
  for (int i = 0; i < 2; ++i) {
    Standing::Connection* const connection = standing.find(*request);
    REQUIRE(connection != nullptr);
    ask(*connection, request);
  }
  CHECK(standing.find(*request) == nullptr);
  CHECK(is_closed(connect(standing, "a:1")));  // those at work are left alone
  CHECK_FALSE(is_closed(three));
  CHECK_FALSE(is_closed(connect(standing, "b:1")));
}

TEST_CASE("what comes at rest ends a connection, be it bytes or the end") {
  Standing standing;
  const auto to_a = request_to("a:1"), to_b = request_to("b:1"), to_c = request_to("c:1");
  const Raw a = connect(standing, "a:1"), c = connect(standing, "c:1");
  {
    const Raw b = connect(standing, "b:1");
    REQUIRE(a.send("unasked"));
  }
  CHECK(drained(standing) == 0);
  CHECK(standing.find(*to_a) == nullptr);
  CHECK(standing.find(*to_b) == nullptr);
  CHECK(standing.find(*to_c) != nullptr);
  standing.close_idle(Clock::now() - std::chrono::hours(1));
  CHECK_FALSE(is_closed(c));
  standing.close_idle(Clock::now() + std::chrono::hours(1));
  CHECK(is_closed(c));
}

TEST_CASE("a reply is told once; one that is the last ends the connection") {
  Standing standing;
  const auto to_a = request_to("a:1"), to_b = request_to("b:1");
  const Raw a = connect(standing, "a:1"), b = connect(standing, "b:1");
  for (const auto& request : {to_a, to_b}) ask(*standing.find(*request), request);
  REQUIRE(a.send("reply"));
  REQUIRE(b.send("last reply"));
  b.end_of_sending();
  std::string got(100, '\0');
  int told = 0;
  const auto receive = [&](Standing::Connection& connection) {
    ++told;
    CHECK(recv(connection.socket(), got.data(), got.size(), MSG_DONTWAIT) > 0);
    rest(connection);
  };
  standing.drain(receive);
  CHECK(told == 2);
  standing.drain(receive);
  CHECK(told == 2);
  CHECK(standing.find(*to_a) != nullptr);
  CHECK(standing.find(*to_b) == nullptr);
  CHECK(is_closed(b));
  // And of the next reply again.
  ask(*standing.find(*to_a), to_a);
  REQUIRE(a.send("more"));
  standing.drain(receive);
  CHECK(told == 3);
}

TEST_CASE("hundreds that are ready at once are all told") {
  constexpr int kMany = 300;
  Standing standing;
  const auto nobody = std::make_shared<Nobody>();
  std::vector<Raw> peers;
  for (int i = 0; i < kMany; ++i) {
    const auto request = request_to("host" + std::to_string(i) + ":1");
    peers.push_back(connect(standing, request->parsed().authority));
    ask(*standing.find(*request), request, nobody);
    REQUIRE(peers.back().send("reply"));
  }
  CHECK(drained(standing) == kMany);
}

TEST_CASE("the socket of a connection that is released is the caller's") {
  Standing standing;
  const auto request = request_to("a:1");
  const Raw peer = connect(standing, "a:1");
  const Raw mine(standing.release(*standing.find(*request)));
  CHECK(standing.find(*request) == nullptr);
  REQUIRE(peer.send("for the caller"));
  CHECK(drained(standing) == 0);
  CHECK(mine.receive() == "for the caller");
}

std::string reply_of(const std::string& lines, const std::string& body) {
  return "HTTP/1.1 200 OK\r\n" + lines + "Content-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

TEST_CASE("whole replies, and those that are not") {
  const std::string date = "Date: Sat, 28 Nov 2026 10:11:12 GMT\r\n";
  const std::vector<std::string> replies{
      reply_of("Content-Type: text/plain\r\n", "body"),
      reply_of("Content-Type: text/plain\r\n", std::string(12'345, 'b')),
      reply_of("Content-Type: text/plain\r\n", ""),
      reply_of(date, "with a date"),
      reply_of("Date: Sun, 29 Nov 2026 00:00:00 GMT\r\n", "with another"),
      reply_of("Date: Sun, 29 Nov 2026\t00:00:00 GMT\r\n", "with a blank that is a tab"),
      reply_of("Date: Sun, 29 Nov 2026\x01"s + "00:00:00 GMT\r\n", "no header at all"),
      reply_of("Date: today\r\n", "with a short one"),
      reply_of("Connection: close\r\n", "the last"),
      reply_of("Content-Encoding: gzip\r\n", "packed"),
      reply_of("Content-Length: 4\r\n", "twice"),
      reply_of("Transfer-Encoding: chunked\r\n", "4\r\nbody\r\n0\r\n\r\n"),
      reply_of("", "four") + "and more",
      reply_of("", "cut").substr(0, 40),
      "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n" + date + "\r\nbody",
      "HTTP/1.1 200 OK\r\nContent-Length: 0004\r\n" + date + "\r\nbody",
      "HTTP/1.1 200 OK\r\nContent-Length: 4x\r\n" + date + "\r\nbody",
      "HTTP/1.1 200 OK\r\nContent-Length: \r\n" + date + "\r\nbody",
      "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551620\r\n" + date + "\r\nbody",
      "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
      "HTTP/1.1 503 Later\r\nContent-Length: 4\r\n\r\nbody",
      "HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nbody",
      "HTTP/1.1 204 None\r\nContent-Length: 4\r\n\r\nbody",
      "HTTP/1.1 304 Same\r\nContent-Length: 4\r\n\r\nbody",
      "HTTP/1.1 100 Continue\r\n\r\n" + reply_of("", "later"),
      "HTTP/1.1 200 OK\r\n\r\nuntil the end",
      "",
      "\r\n\r\n"};
  // Each after each other: what is known of the one before must change nothing.
  int taken = 0, recognisable = 0;
  for (const std::string& before : replies) {
    for (const std::string& reply : replies) {
      INFO(before << "\n---\n" << reply);
      WholeReplies fresh, used;
      used.take(before, 100'000);
      const auto wanted = fresh.take(reply, 100'000);
      const auto got = used.take(reply, 100'000);
      REQUIRE(got.has_value() == wanted.has_value());
      if (!got) continue;
      ++taken;
      recognisable += before.substr(0, 60) == reply.substr(0, 60) ? 1 : 0;
      CHECK(got->status == wanted->status);
      CHECK(got->content_type == wanted->content_type);
      CHECK((got->body == wanted->body));
      CHECK(used.keep_alive() == fresh.keep_alive());
    }
  }
  CHECK(taken > 300);
  CHECK(recognisable > 10);
  WholeReplies small;
  CHECK(small.take(replies[0], 4).has_value());
  CHECK_FALSE(small.take(replies[0], 3).has_value());
  CHECK_FALSE(WholeReplies().take(replies[0], 3).has_value());
}

TEST_CASE("each prefix of a reply, and each with a byte changed, is read as if it were the first") {
  const std::string reply = reply_of(
      "Date: Sat, 28 Nov 2026 10:11:12 GMT\r\nServer: x\r\nContent-Type: text/plain\r\n", "body");
  const auto compare = [&](const std::string& other) {
    WholeReplies fresh, used;
    REQUIRE(used.take(reply, 1'000).has_value());
    const auto wanted = fresh.take(other, 1'000);
    const auto got = used.take(other, 1'000);
    REQUIRE(got.has_value() == wanted.has_value());
    if (!got) return;
    CHECK(got->status == wanted->status);
    CHECK(got->content_type == wanted->content_type);
    CHECK(got->body == wanted->body);
    CHECK(used.keep_alive() == fresh.keep_alive());
  };
  for (std::size_t i = 0; i < reply.size(); ++i) {
    compare(reply.substr(0, i));
    for (const char c : {'\0', '\t', '\n', '\r', ' ', '0', '4', '9', ':', 'a', '\x7f', '\xff'}) {
      std::string changed = reply;
      changed[i] = c;
      compare(changed);
    }
  }
}

}  // namespace
}  // namespace optipod::http
