// SPDX-License-Identifier: Apache-2.0
//
// How to reach an API server and who we are to it, as the files say at the moment: certificates and
// tokens are replaced while programs run.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include <tl/expected.hpp>

#include "common/config/watched.hpp"
#include "common/http/origin_client.hpp"
#include "common/kube/config.hpp"

namespace optipod::kube {

/// The bearer token, which may live in a file of its own. Thread-safe.
class Token {
 public:
  explicit Token(const ClusterConfig& config) : file_(config.token_file), token_(config.token) {}

  /// The first reading must succeed.
  tl::expected<void, std::string> load();
  /// `must`: the server refused what it was; read whether the file looks new or not. A file that
  /// cannot be read just now leaves the old token, which may well be valid still.
  std::string get(bool must = false);

 private:
  [[nodiscard]] tl::expected<std::string, std::string> read_token() const;

  const std::string file_;
  std::mutex mutex_;
  std::string token_, version_;  ///< under mutex_
};

/// What one state of the files says. Requests that are under way end on the connections they have.
struct Access {
  ClusterConfig config;
  std::unique_ptr<const http::OriginClient> origin;
  std::unique_ptr<Token> token;
};

/// The error says which part of the configuration cannot be used.
tl::expected<std::shared_ptr<const Access>, std::string> make_access(ClusterConfig config);

using AccessFile = config::Watched<Access>;
/// Of one configuration that does not change, but for its token file.
tl::expected<std::shared_ptr<AccessFile>, std::string> fixed_access(ClusterConfig config);
/// Of the files that load_config() reads. A change to another server is refused: what was heard
/// from the one before must not be mixed with it.
tl::expected<std::shared_ptr<AccessFile>, std::string> open_access(const std::string& path,
                                                                   const std::string& context);

}  // namespace optipod::kube
