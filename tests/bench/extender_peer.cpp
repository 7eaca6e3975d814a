// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/extender_peer.hpp"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>

namespace optipod::bench {

Connection::Connection(std::uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw std::runtime_error("cannot connect to port " + std::to_string(port));
  }
}

Connection::~Connection() {
  close(fd_);
}

std::string Connection::post(const std::string& path, const std::string& body) {
  const std::string request = "POST " + path +
                              " HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: Go-http-client/1.1\r\n"
                              "Content-Type: application/json\r\nContent-Length: " +
                              std::to_string(body.size()) + "\r\n\r\n" + body;
  for (std::size_t sent = 0; sent < request.size();) {
    const ssize_t n = send(fd_, request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) throw std::runtime_error("the connection broke while sending");
    sent += static_cast<std::size_t>(n);
  }
  std::string reply;
  std::size_t head = std::string::npos;
  std::size_t length = 0;
  char buffer[65536];
  while (head == std::string::npos || reply.size() < head + 4 + length) {
    const ssize_t n = recv(fd_, buffer, sizeof buffer, 0);
    if (n <= 0) throw std::runtime_error("the connection broke while receiving");
    reply.append(buffer, static_cast<std::size_t>(n));
    if (head != std::string::npos) continue;
    head = reply.find("\r\n\r\n");
    if (head == std::string::npos) continue;
    if (reply.compare(0, 12, "HTTP/1.1 200") != 0) {
      throw std::runtime_error(path + " answered " + reply.substr(0, reply.find('\r')));
    }
    const std::size_t field = reply.find("Content-Length: ");
    if (field == std::string::npos) throw std::runtime_error("a reply without Content-Length");
    length = std::strtoul(reply.c_str() + field + 16, nullptr, 10);
  }
  return reply.substr(head + 4);
}

std::unique_ptr<GoExtender> GoExtender::start(const std::string& source_dir, std::string& why) {
  if (std::system("command -v go >/dev/null 2>&1") != 0) {
    why = "Go is not installed";
    return nullptr;
  }
  std::string dir = (std::filesystem::temp_directory_path() / "optipod-bench-XXXXXX").string();
  if (mkdtemp(dir.data()) == nullptr) {
    why = "no temporary directory";
    return nullptr;
  }
  std::unique_ptr<GoExtender> peer(new GoExtender);
  peer->dir_ = dir;
  const std::string build =
      "cd '" + source_dir + "' && GOFLAGS=-buildvcs=false go build -o '" + dir + "/peer' . >&2";
  if (std::system(build.c_str()) != 0) {
    why = "the Go extender does not build";
    return nullptr;
  }
  int in[2], out[2];
  if (pipe(in) != 0 || pipe(out) != 0) throw std::runtime_error("no pipe");
  peer->pid_ = fork();
  if (peer->pid_ == 0) {
    dup2(in[0], 0);
    dup2(out[1], 1);
    for (const int fd : {in[0], in[1], out[0], out[1]}) close(fd);
    const std::string program = dir + "/peer";
    execl(program.c_str(), program.c_str(), nullptr);
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  peer->stdin_ = in[1];
  FILE* lines = fdopen(out[0], "r");
  unsigned port = 0;
  const int read = std::fscanf(lines, "%u", &port);
  std::fclose(lines);
  if (read != 1) {
    why = "the Go extender did not start";
    return nullptr;
  }
  peer->port_ = static_cast<std::uint16_t>(port);
  return peer;
}

GoExtender::~GoExtender() {
  if (stdin_ >= 0) close(stdin_);
  if (pid_ > 0) waitpid(pid_, nullptr, 0);
  std::error_code ignored;
  std::filesystem::remove_all(dir_, ignored);
}

}  // namespace optipod::bench
