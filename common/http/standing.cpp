// SPDX-License-Identifier: Apache-2.0
#include "common/http/standing.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "common/http/fetch_request.hpp"

namespace optipod::http {
namespace {

constexpr std::uint32_t kNone = ~std::uint32_t{0};

}  // namespace

Standing::Standing() : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  if (epoll_ < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
}

Standing::~Standing() {
  for (const Connection& connection : connections_) {
    if (connection.socket_ >= 0) ::close(connection.socket_);
  }
  ::close(epoll_);
}

void Standing::add(const std::string& authority, int socket, Clock::time_point now) {
  const auto [at, is_new] = hosts_.try_emplace(authority);
  Host& host = at->second;
  if (is_new) {
    host.authority = &at->first;
    host.places.fill(kNone);
  }
  auto place = std::find(host.places.begin(), host.places.end(), kNone);
  if (place == host.places.end()) {
    place = std::find_if(host.places.begin(), host.places.end(),
                         [&](std::uint32_t i) { return !connections_[i].is_busy(); });
    if (place == host.places.end()) {
      ::close(socket);
      return;
    }
    close(connections_[*place]);  // the other place still holds the host
  }
  if (free_.empty()) {
    free_.push_back(static_cast<std::uint32_t>(connections_.size()));
    connections_.emplace_back();
  }
  const std::uint32_t index = free_.back();
  Connection& connection = connections_[index];
  epoll_event event{};
  event.events = EPOLLIN | EPOLLRDHUP | EPOLLET;
  event.data.u64 = std::uint64_t{connection.turn_} << 32 | index;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, socket, &event) != 0) {
    ::close(socket);
    forget_if_empty(host);
    return;
  }
  free_.pop_back();
  *place = index;
  connection.socket_ = socket;
  connection.time = now;
  connection.host_ = &host;
}

Standing::Connection* Standing::find(const Fetcher::Request& request) {
  const std::uint32_t last = request.served_by();
  if (last < connections_.size()) {
    Connection& connection = connections_[last];
    if (connection.served_ == request.number() && !connection.is_busy()) return &connection;
  }
  const auto host = hosts_.find(request.parsed().authority);
  if (host == hosts_.end()) return nullptr;
  for (const std::uint32_t i : host->second.places) {
    if (i == kNone || connections_[i].is_busy()) continue;
    connections_[i].served_ = request.number();
    request.set_served_by(i);
    return &connections_[i];
  }
  return nullptr;
}

void Standing::prefetch(const Fetcher::Request& request) const {
  const std::uint32_t last = request.served_by();
  if (last < connections_.size()) __builtin_prefetch(&connections_[last], 1);
}

int Standing::release(Connection& connection) {
  const auto index = static_cast<std::uint32_t>(&connection - connections_.data());
  const int socket = std::exchange(connection.socket_, -1);
  epoll_ctl(epoll_, EPOLL_CTL_DEL, socket, nullptr);
  connection.request.reset();
  connection.receiver.reset();
  ++connection.turn_;
  connection.served_ = 0;
  Host& host = *std::exchange(connection.host_, nullptr);
  std::replace(host.places.begin(), host.places.end(), index, kNone);
  forget_if_empty(host);
  free_.push_back(index);
  return socket;
}

void Standing::forget_if_empty(const Host& host) {
  const bool empty = std::all_of(host.places.begin(), host.places.end(),
                                 [](std::uint32_t i) { return i == kNone; });
  if (empty) hosts_.erase(hosts_.find(*host.authority));
}

void Standing::close(Connection& connection) {
  ::close(release(connection));
}

void Standing::close_idle(Clock::time_point since) {
  for (Connection& connection : connections_) {
    if (connection.socket_ >= 0 && !connection.is_busy() && connection.time < since) {
      close(connection);
    }
  }
}

std::size_t Standing::wait(std::span<epoll_event> events) const {
  const int n = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 0);
  return n > 0 ? static_cast<std::size_t>(n) : 0;
}

Standing::Connection* Standing::of(const epoll_event& event) {
  const auto index = static_cast<std::uint32_t>(event.data.u64);
  Connection& connection = connections_[index];
  const bool is_it = connection.socket_ >= 0 && connection.turn_ == event.data.u64 >> 32;
  return is_it ? &connection : nullptr;
}

bool Standing::has_ended(const epoll_event& event) {
  return (event.events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
}

}  // namespace optipod::http
