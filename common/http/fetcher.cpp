// SPDX-License-Identifier: Apache-2.0
#include <sys/resource.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "common/http/client.hpp"
#include "common/http/fetch_request.hpp"
#include "common/http/fetch_shard.hpp"

namespace optipod::http {
namespace {

constexpr std::size_t kResolverThreads = 4;  ///< so that one slow name does not stop all others

/// What peers that hang may take of the descriptors, so that a server, files and logs have theirs.
std::size_t most_connections() {
  constexpr rlim_t kOthers = 1'024;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return kOthers;
  return limit.rlim_cur - std::min(kOthers, limit.rlim_cur / 4);
}

/// Gives `done` what it can keep.
class Once final : public Fetcher::Receiver {
 public:
  explicit Once(Fetcher::Done done) : done_(std::move(done)) {}
  void receive(Fetcher::Answer answer) override {
    if (!answer) return done_(tl::unexpected(std::move(answer.error())));
    done_(ClientResponse{.status = answer->status,
                         .content_type = std::string(answer->content_type),
                         .body = std::string(answer->body)});
  }

 private:
  Fetcher::Done done_;
};

}  // namespace

struct Fetcher::Impl {
  [[nodiscard]] unsigned thread_of(const Request& request) const {
    return static_cast<unsigned>(request.host_hash() % shards.size());
  }

  boost::asio::thread_pool resolvers{kResolverThreads};
  std::vector<std::unique_ptr<FetchShard>> shards;
};

Fetcher::Fetcher(unsigned threads) : impl_(std::make_unique<Impl>()) {
  const unsigned shards = std::max(threads, 1U);
  for (unsigned i = 0; i < shards; ++i) {
    impl_->shards.push_back(
        std::make_unique<FetchShard>(impl_->resolvers, most_connections() / shards));
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

unsigned Fetcher::thread_of(const std::string& url) const {
  return impl_->thread_of(Request(url, std::make_shared<const ClientOptions>()));
}

void Fetcher::get(std::vector<Ask> asks) {
  if (asks.empty()) return;
  const unsigned first = impl_->thread_of(*asks[0].request);
  const auto other = std::find_if(asks.begin(), asks.end(), [&](const Ask& ask) {
    return impl_->thread_of(*ask.request) != first;
  });
  if (other == asks.end()) return impl_->shards[first]->ask(std::move(asks));
  std::vector<std::vector<Ask>> its(impl_->shards.size());
  for (Ask& ask : asks) its[impl_->thread_of(*ask.request)].push_back(std::move(ask));
  for (std::size_t i = 0; i < its.size(); ++i) {
    if (!its[i].empty()) impl_->shards[i]->ask(std::move(its[i]));
  }
}

void Fetcher::get(const std::string& url, const ClientOptions& options, Done done) {
  std::vector<Ask> asks;
  asks.push_back({prepare(url, std::make_shared<const ClientOptions>(options)),
                  std::make_shared<Once>(std::move(done))});
  get(std::move(asks));
}

}  // namespace optipod::http
