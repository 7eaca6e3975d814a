// SPDX-License-Identifier: Apache-2.0
#include "common/http/resolve.hpp"

#include <netdb.h>

#include <atomic>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>

#include <boost/asio/ip/address.hpp>

namespace optipod::http {
namespace {

using boost::asio::ip::tcp;
using Endpoints = std::vector<tcp::endpoint>;
using Result = tl::expected<Endpoints, std::string>;

constexpr int kMostLookups = 8;  ///< at once, hanging ones included
std::atomic<int> lookups{0};

/// Shared with a thread that may outlive whoever asked.
struct Lookup {
  std::mutex mutex;
  std::condition_variable_any changed;
  std::optional<Result> result;
};

Result look_up(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), nullptr, &hints, &found);
  if (error != 0) return tl::unexpected(std::string(gai_strerror(error)));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, freeaddrinfo);
  Endpoints out;
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    tcp::endpoint endpoint;
    if (entry->ai_addrlen > endpoint.capacity()) continue;
    std::memcpy(endpoint.data(), entry->ai_addr, entry->ai_addrlen);
    endpoint.resize(entry->ai_addrlen);
    endpoint.port(port);
    out.push_back(endpoint);
  }
  return out;
}

void run(const std::shared_ptr<Lookup>& lookup, const std::string& host, std::uint16_t port) {
  Result result = look_up(host, port);
  {
    const std::lock_guard lock(lookup->mutex);
    lookup->result = std::move(result);
  }
  lookup->changed.notify_all();
  lookups.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace

Result resolve(const std::string& host, std::uint16_t port,
               std::chrono::steady_clock::time_point deadline, const std::stop_token& stop) {
  boost::system::error_code not_literal;
  const auto address = boost::asio::ip::make_address(host, not_literal);
  if (!not_literal) return Endpoints{tcp::endpoint(address, port)};

  if (lookups.fetch_add(1, std::memory_order_relaxed) >= kMostLookups) {
    lookups.fetch_sub(1, std::memory_order_relaxed);
    return tl::unexpected(std::string("too many earlier lookups hang"));
  }
  auto lookup = std::make_shared<Lookup>();
  try {
    std::thread([lookup, host, port] { run(lookup, host, port); }).detach();
  } catch (const std::system_error& error) {
    lookups.fetch_sub(1, std::memory_order_relaxed);
    return tl::unexpected(std::string("cannot start a thread: ") + error.what());
  }
  std::unique_lock lock(lookup->mutex);
  lookup->changed.wait_until(lock, stop, deadline, [&] { return lookup->result.has_value(); });
  if (!lookup->result)
    return tl::unexpected(std::string("no answer from the name service in time"));
  return std::move(*lookup->result);
}

}  // namespace optipod::http
