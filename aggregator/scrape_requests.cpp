// SPDX-License-Identifier: Apache-2.0
#include "aggregator/scrape_requests.hpp"

#include <utility>

#include <fmt/format.h>

namespace optipod::aggregator {

void ScrapeRequests::use(std::shared_ptr<const http::ClientConfig> config) {
  if (config == config_) return;
  config_ = std::move(config);
  made_.clear();
  ++version_;
}

std::shared_ptr<const http::ClientOptions> ScrapeRequests::with(std::chrono::milliseconds timeout) {
  std::shared_ptr<const http::ClientOptions>& known = made_[timeout];
  if (known) return known;
  http::ClientOptions made;
  made.timeout = timeout;
  made.max_body_bytes = max_body_bytes_ - 1;
  // The text format first: a page that repeats itself costs less to read in it.
  made.headers = {{"Accept",
                   "text/plain;version=0.0.4;q=0.5,application/openmetrics-text;version=1.0.0;"
                   "q=0.4,application/openmetrics-text;version=0.0.1;q=0.3,*/*;q=0.1"},
                  {"Accept-Encoding", gzip_ ? "gzip" : "identity"},
                  {"X-Prometheus-Scrape-Timeout-Seconds",
                   fmt::format("{}", std::chrono::duration<double>(timeout).count())}};
  if (config_) {
    made.tls = config_->tls_client;
    if (!config_->authorization.empty()) {
      made.headers.emplace_back("Authorization", config_->authorization);
    }
  }
  known = std::make_shared<const http::ClientOptions>(std::move(made));
  return known;
}

}  // namespace optipod::aggregator
