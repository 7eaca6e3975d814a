// SPDX-License-Identifier: Apache-2.0
// The least that an extender can cost kube-scheduler which is only asked to score:
// `bench_empty_extender PORT` answers every POST on loopback with `[]`, no node scored, as soon as
// its last byte is there, and any other request with how many that were. A thread a connection,
// mostly one receive and one send a request, and nothing in the background.
#include <boost/asio.hpp>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr std::string_view kEnd = "\r\n\r\n";
constexpr std::string_view kLength = "content-length:";
constexpr std::size_t kRoom = 65536;  // one receive takes as much
constexpr std::string_view kReply =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ";

std::atomic<unsigned long> posts{0};

std::string reply_with(const std::string& body) {
  return std::string(kReply) + std::to_string(body.size()) + std::string(kEnd) + body;
}

/// Of the head's body; 0 when it names none.
std::size_t body_size(std::string_view head) {
  const auto at = std::ranges::search(
      head, kLength, [](unsigned char a, unsigned char b) { return std::tolower(a) == b; });
  const auto digit = std::find_if(at.end(), head.end(), [](char c) { return c != ' '; });
  std::size_t size = 0;
  std::from_chars(head.data() + (digit - head.begin()), head.data() + head.size(), size);
  return size;
}

void serve(tcp::socket socket) {
  boost::system::error_code error;
  socket.set_option(tcp::no_delay(true), error);
  const std::string nothing = reply_with("[]");
  std::string text;
  text.reserve(kRoom);
  while (!error) {
    const std::size_t head = asio::read_until(socket, asio::dynamic_buffer(text), kEnd, error);
    if (error) return;
    const std::size_t whole = head + body_size(std::string_view(text).substr(0, head));
    const std::size_t here = std::min(text.size(), whole);
    if (here < whole) {
      text.resize(whole);
      asio::read(socket, asio::buffer(text.data() + here, whole - here), error);
    }
    if (error) return;
    const bool post = text.starts_with("POST ");
    text.erase(0, whole);
    if (post) ++posts;
    asio::write(socket, asio::buffer(post ? nothing : reply_with(std::to_string(posts))), error);
  }
}

}  // namespace

int main(int argc, char** argv) try {
  const auto port = static_cast<unsigned short>(argc > 1 ? std::stoi(argv[1]) : 8888);
  asio::io_context io;
  tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), port});
  while (true) std::thread(serve, acceptor.accept()).detach();
} catch (const std::exception& error) {
  std::fprintf(stderr, "bench_empty_extender: %s\n", error.what());
  return 1;
}
