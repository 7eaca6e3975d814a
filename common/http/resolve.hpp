// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

#include <boost/asio/ip/tcp.hpp>
#include <tl/expected.hpp>

namespace optipod::http {

/// The addresses of a host, a literal one at once. Returns at the deadline or a stop, though the
/// system's resolver cannot be interrupted: such a lookup ends later on its own thread.
tl::expected<std::vector<boost::asio::ip::tcp::endpoint>, std::string> resolve(
    const std::string& host, std::uint16_t port, std::chrono::steady_clock::time_point deadline,
    const std::stop_token& stop);

}  // namespace optipod::http
