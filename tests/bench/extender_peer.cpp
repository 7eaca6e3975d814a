// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/extender_peer.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <netinet/tcp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "common/http/client.hpp"

namespace optipod::bench {

Connection::Connection(std::uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw std::runtime_error(fmt::format("cannot connect to port {}", port));
  }
}

Connection::~Connection() {
  close(fd_);
}

std::string_view Connection::post(std::string_view path, std::string_view body) {
  request_ = fmt::format(
      "POST {} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: Go-http-client/1.1\r\n"
      "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
      path, body.size());
  request_ += body;
  for (std::size_t sent = 0; sent < request_.size();) {
    const ssize_t n = send(fd_, request_.data() + sent, request_.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) throw std::runtime_error("the connection broke while sending");
    sent += static_cast<std::size_t>(n);
  }
  const std::size_t from = receive(path);
  return std::string_view(reply_).substr(from);
}

/// Where the reply's body begins.
std::size_t Connection::receive(std::string_view path) {
  reply_.clear();
  std::size_t body = std::string::npos;
  std::size_t length = 0;
  char buffer[65536];
  while (body == std::string::npos || reply_.size() < body + length) {
    const ssize_t n = recv(fd_, buffer, sizeof buffer, 0);
    if (n <= 0) throw std::runtime_error("the connection broke while receiving");
    reply_.append(buffer, static_cast<std::size_t>(n));
    if (body != std::string::npos) continue;
    const std::size_t end = reply_.find("\r\n\r\n");
    if (end == std::string::npos) continue;
    if (!reply_.starts_with("HTTP/1.1 200")) {
      throw std::runtime_error(
          fmt::format("{} answered {}", path, reply_.substr(0, reply_.find('\r'))));
    }
    const std::size_t field = reply_.find("Content-Length: ");
    if (field >= end) throw std::runtime_error("a reply without Content-Length");
    length = std::strtoul(reply_.c_str() + field + 16, nullptr, 10);
    body = end + 4;
  }
  return body;
}

ServerProcess::ServerProcess(std::vector<std::string> command) {
  std::vector<char*> argv;
  for (std::string& word : command) argv.push_back(word.data());
  argv.push_back(nullptr);
  int out[2];
  if (pipe2(out, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // it does not outlive a bench that is killed
    dup2(out[1], STDOUT_FILENO);
    dup2(out[1], STDERR_FILENO);
    execv(argv[0], argv.data());
    _exit(127);
  }
  close(out[1]);
  output_ = out[0];
  std::string said;
  char c = 0;
  while (port_ == 0 && read(output_, &c, 1) == 1) {
    said += c;
    if (c != '\n') continue;
    const std::size_t at = said.rfind("port ");
    if (at != std::string::npos) {
      port_ = static_cast<std::uint16_t>(std::strtoul(said.c_str() + at + 5, nullptr, 10));
    }
  }
  if (port_ != 0) return;
  waitpid(pid_, nullptr, 0);
  close(output_);
  throw std::runtime_error(fmt::format("{} did not start: {}", command.front(), said));
}

ServerProcess::~ServerProcess() {
  kill(pid_, SIGTERM);
  waitpid(pid_, nullptr, 0);
  close(output_);
}

std::string ServerProcess::url(std::string_view path) const {
  return fmt::format("http://127.0.0.1:{}{}", port_, path);
}

double ServerProcess::cpu_seconds() const {
  std::ifstream file(fmt::format("/proc/{}/stat", pid_));
  std::string text;
  std::getline(file, text);
  std::istringstream fields(text.substr(text.rfind(')') + 1));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  double user = 0;
  double system = 0;
  if (!(fields >> user >> system))
    throw std::runtime_error("no CPU time of a server: it has ended");
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

std::unique_ptr<GoExtender> GoExtender::start(const std::string& source_dir, std::string& why) {
  if (std::system("command -v go >/dev/null 2>&1") != 0) {
    why = "Go is not installed";
    return nullptr;
  }
  std::string dir = (std::filesystem::temp_directory_path() / "optipod-bench-XXXXXX").string();
  if (mkdtemp(dir.data()) == nullptr) throw std::runtime_error("no temporary directory");
  std::unique_ptr<GoExtender> peer(new GoExtender(dir));
  const std::string program = dir + "/peer";
  const std::string build =
      fmt::format("cd '{}' && GOFLAGS=-buildvcs=false go build -o '{}' . >&2", source_dir, program);
  if (std::system(build.c_str()) != 0) throw std::runtime_error("the Go extender does not build");
  peer->server_ = std::make_unique<ServerProcess>(std::vector{program});
  return peer;
}

GoExtender::~GoExtender() {
  server_.reset();
  std::error_code ignored;
  std::filesystem::remove_all(dir_, ignored);
}

void GoExtender::load(const std::string& federate) const {
  const auto loaded = http::post(server_->url("/load"), federate, "text/plain");
  if (!loaded || loaded->status != 200) throw std::runtime_error("the Go extender took no data");
}

std::vector<double> GoExtender::durations() const {
  const auto answer = http::get(server_->url("/durations"));
  if (!answer) throw std::runtime_error(answer.error().what);
  std::vector<double> taken;
  std::istringstream lines(answer->body);
  for (double ns = 0; lines >> ns;) taken.push_back(ns);
  return taken;
}

}  // namespace optipod::bench
