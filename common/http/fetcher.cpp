// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "common/http/client.hpp"
#include "common/http/fetch_request.hpp"
#include "common/http/fetch_shard.hpp"

namespace optipod::http {
namespace {

constexpr std::size_t kResolverThreads = 4;  ///< so that one slow name does not stop all others

}  // namespace

struct Fetcher::Impl {
  FetchShard& shard_of(const Request& request) {
    return *shards[std::hash<std::string>()(request.parsed().authority) % shards.size()];
  }

  boost::asio::thread_pool resolvers{kResolverThreads};
  std::vector<std::unique_ptr<FetchShard>> shards;
};

Fetcher::Fetcher(unsigned threads) : impl_(std::make_unique<Impl>()) {
  for (unsigned i = 0; i < std::max(threads, 1U); ++i) {
    impl_->shards.push_back(std::make_unique<FetchShard>(impl_->resolvers));
  }
}

Fetcher::~Fetcher() {
  for (const auto& shard : impl_->shards) shard->cancel();
  impl_->resolvers.join();
  for (const auto& shard : impl_->shards) shard->join();
}

std::shared_ptr<const Fetcher::Request> Fetcher::prepare(
    std::string url, std::shared_ptr<const ClientOptions> options) {
  return std::make_shared<const Request>(std::move(url), std::move(options));
}

void Fetcher::get(std::vector<Ask> asks) {
  for (const auto& shard : impl_->shards) {
    std::vector<Ask> its;
    for (Ask& ask : asks) {
      if (ask.request && &impl_->shard_of(*ask.request) == shard.get()) {
        its.push_back(std::move(ask));
      }
    }
    if (!its.empty()) shard->ask(std::move(its));
  }
}

void Fetcher::get(const std::string& url, const ClientOptions& options, Done done) {
  std::vector<Ask> asks;
  asks.push_back({prepare(url, std::make_shared<const ClientOptions>(options)), std::move(done)});
  get(std::move(asks));
}

}  // namespace optipod::http
