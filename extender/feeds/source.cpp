// SPDX-License-Identifier: Apache-2.0
#include "extender/feeds/source.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <utility>

#include <fmt/core.h>

#include "extender/feeds/background.hpp"
namespace optipod::extender {
namespace {

std::string query_encoded(std::string_view text) {
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '-' || c == '_' || c == '.' || c == '~') {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 0xf];
    }
  }
  return out;
}

}  // namespace

Fetched::Result Source::fetch(const std::stop_token& stop) {
  http::OriginRequest request;
  request.target = "/federate?match%5B%5D=" + query_encoded(options_.match);
  request.timeout = options_.timeout;
  request.max_body_bytes = options_.max_body_bytes;
  request.stop = stop;
  request.room = &text_;
  const auto answer = client_.send(std::move(request));
  if (!answer) {
    text_ = answer.error().message;
    return Fetched::Result::kUnreachable;
  }
  if (answer->status != 200) {
    text_ = fmt::format("{}/federate answered {}: {}", options_.url, answer->status,
                        std::string_view(text_).substr(0, 200));
    return Fetched::Result::kStatus;
  }
  return Fetched::Result::kOk;
}

Source::Source(SourceOptions options, Take take)
    : options_(std::move(options)),
      take_(std::move(take)),
      client_(options_.url, options_.client_config),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

Source::~Source() {
  thread_.request_stop();
  thread_.join();
}

void Source::run(const std::stop_token& stop) {
  stand_back();
  std::mutex mutex;
  std::condition_variable_any wake;
  auto next = std::chrono::steady_clock::now();
  while (!stop.stop_requested()) {
    const auto began = std::chrono::steady_clock::now();
    const Fetched::Result result = fetch(stop);
    if (stop.stop_requested()) return;
    take_({result, text_}, std::chrono::steady_clock::now() - began);
    next = std::max(next + options_.interval, std::chrono::steady_clock::now());
    std::unique_lock lock(mutex);
    wake.wait_until(lock, stop, next, [] { return false; });
  }
}

}  // namespace optipod::extender
