// SPDX-License-Identifier: Apache-2.0
//
// Basic authentication against bcrypt hashes. A hash takes tens of milliseconds to check, by
// intention, so that what was checked is remembered.
#pragma once

#include <array>
#include <cstddef>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace optipod::http {

struct Credentials {
  std::string user, password;
};

/// Of an Authorization value; none when it is not "Basic" or malformed.
std::optional<Credentials> basic_credentials(std::string_view authorization);

/// Users and their bcrypt hashes.
using Users = std::map<std::string, std::string, std::less<>>;

/// What is wrong with a hash; "" when nothing is. Costs above 16, which take seconds, are.
std::string problem_of_hash(std::string_view hash);

/// Thread-safe.
class Passwords {
 public:
  /// What is remembered of these credentials; none: check() has to tell.
  std::optional<bool> recall(const Users& users, const Credentials& credentials) const;
  /// Slow. Takes as long for a user who does not exist.
  bool check(const Users& users, const Credentials& credentials);

  static constexpr std::size_t kMostRemembered = 100;  ///< of the right ones, and of the wrong ones

 private:
  using Digest = std::array<unsigned char, 32>;
  struct Memory {
    std::deque<Digest> digests;  ///< the oldest first
    [[nodiscard]] bool has(const Digest& digest) const;
    void add(const Digest& digest);
  };

  [[nodiscard]] Digest digest(const std::string& hash, const Credentials& credentials) const;

  const Digest key_ = random_key();  ///< so that what is remembered is of no use elsewhere
  mutable std::mutex mutex_;
  Memory right_, wrong_;  ///< under mutex_
  static Digest random_key();
};

}  // namespace optipod::http
