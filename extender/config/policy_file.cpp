// SPDX-License-Identifier: Apache-2.0
#include "extender/config/policy_file.hpp"

#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <fstream>
#include <mutex>
#include <sstream>
#include <stop_token>

#include <fmt/core.h>

namespace optipod::extender {
namespace {

constexpr std::size_t kMostBytes = 1024 * 1024;
constexpr std::string_view kDefaultCombination = "contention=1";

tl::expected<std::string, std::string> read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text(kMostBytes + 1, '\0');
  if (in) in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!in.is_open() || in.bad()) {
    return tl::unexpected(fmt::format("{}: cannot be read: {}", path, std::strerror(errno)));
  }
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > kMostBytes) {
    return tl::unexpected(fmt::format("{}: larger than {} bytes", path, kMostBytes));
  }
  return text;
}

/// What the file holds; what is wrong with reading it counts as a content, too.
std::string content_of(const std::string& path) {
  auto text = read_file(path);
  return text ? "+" + *text : "-" + text.error();
}

}  // namespace

tl::expected<std::shared_ptr<const PolicySet>, std::string> load_policies(
    const PolicyFileOptions& options) {
  Parameters parameters = options.base;
  if (!options.path.empty()) {
    const auto text = read_file(options.path);
    if (!text) return tl::unexpected(text.error());
    auto read = read_parameters(*text, options.path, parameters, options.resources);
    if (!read) return tl::unexpected(read.error());
    parameters = std::move(*read);
  }
  auto set = std::make_shared<PolicySet>(make_policies(parameters.policies));
  std::string where = "--policy " + options.combination;
  std::string chosen = options.combination;
  if (chosen.empty()) {
    where = options.path + ": policies";
    chosen = parameters.combination.empty() ? kDefaultCombination : parameters.combination;
  }
  auto combination = set->parse(chosen);
  if (!combination) return tl::unexpected(fmt::format("{}: {}", where, combination.error()));
  set->combination = std::move(*combination);
  return set;
}

PolicyFileWatch::PolicyFileWatch(PolicyFileOptions options, Loaded changed,
                                 std::chrono::milliseconds interval)
    : thread_([options = std::move(options), changed = std::move(changed), interval,
               in_use = content_of(options.path)](const std::stop_token& stop) mutable {
        std::mutex mutex;
        std::condition_variable_any wake;
        std::string last = in_use;
        while (true) {
          std::unique_lock lock(mutex);
          wake.wait_for(lock, stop, interval, [] { return false; });
          if (stop.stop_requested()) return;
          std::string now = content_of(options.path);
          if (now == last && now != in_use) {
            in_use = now;
            changed(load_policies(options));
          }
          last = std::move(now);
        }
      }) {}

}  // namespace optipod::extender
