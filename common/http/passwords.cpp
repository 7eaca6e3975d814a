// SPDX-License-Identifier: Apache-2.0
#include "common/http/passwords.hpp"

#include <crypt.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <utility>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "common/http/head.hpp"

namespace optipod::http {
namespace {

constexpr std::size_t kHashSize = 60;
constexpr int kLeastCost = 4, kMostCost = 16;

/// Checked for a user who does not exist, for as long as for one who does.
const std::string& nobody() {
  static const std::string hash = "$2y$10$" + std::string(kHashSize - 7, '.');
  return hash;
}

std::optional<std::string> decode_base64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0) return std::nullopt;
  std::string out(text.size() / 4 * 3, '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                   reinterpret_cast<const unsigned char*>(text.data()),
                                   static_cast<int>(text.size()));
  if (size < 0) return std::nullopt;
  const std::size_t padding =
      text.size() - 1 - std::min(text.find_last_not_of('='), text.size() - 1);
  if (padding > 2 || static_cast<std::size_t>(size) < padding) return std::nullopt;
  out.resize(static_cast<std::size_t>(size) - padding);
  return out;
}

bool matches(const std::string& password, const std::string& hash) {
  const auto data = std::make_unique<crypt_data>();
  // Not crypt_r(): sanitizers put their own before it, which makes the linker leave libcrypt out.
  const char* const made = crypt_rn(password.c_str(), hash.c_str(), data.get(), sizeof *data);
  const bool same = made != nullptr && std::string_view(made).size() == hash.size() &&
                    CRYPTO_memcmp(made, hash.data(), hash.size()) == 0;
  OPENSSL_cleanse(data.get(), sizeof *data);
  return same;
}

}  // namespace

std::optional<Credentials> basic_credentials(std::string_view authorization) {
  const std::size_t blank = authorization.find(' ');
  if (blank == std::string_view::npos) return std::nullopt;
  if (!equals_no_case(authorization.substr(0, blank), "Basic")) return std::nullopt;
  authorization.remove_prefix(
      std::min(authorization.find_first_not_of(' ', blank), authorization.size()));
  const auto plain = decode_base64(authorization);
  // A NUL would end the password early for bcrypt, and let a longer one pass.
  if (!plain || plain->find('\0') != std::string::npos) return std::nullopt;
  const std::size_t colon = plain->find(':');
  if (colon == std::string::npos) return std::nullopt;
  return Credentials{plain->substr(0, colon), plain->substr(colon + 1)};
}

std::string problem_of_hash(std::string_view hash) {
  const auto digit = [&](std::size_t at) { return hash[at] >= '0' && hash[at] <= '9'; };
  const bool formed = hash.size() == kHashSize && hash.starts_with("$2") &&
                      (hash[2] == 'a' || hash[2] == 'b' || hash[2] == 'y') && hash[3] == '$' &&
                      digit(4) && digit(5) && hash[6] == '$';
  if (!formed) return "not a bcrypt hash such as 'htpasswd -nBC 10 \"\"' makes: $2y$10$…";
  const int cost = (hash[4] - '0') * 10 + (hash[5] - '0');
  if (cost < kLeastCost || cost > kMostCost) {
    return "bcrypt cost " + std::to_string(cost) + " is not from " + std::to_string(kLeastCost) +
           " to " + std::to_string(kMostCost);
  }
  return {};
}

Passwords::Digest Passwords::random_key() {
  Digest key;
  if (RAND_bytes(key.data(), static_cast<int>(key.size())) != 1) {
    throw std::runtime_error("no random numbers from OpenSSL");
  }
  return key;
}

bool Passwords::Memory::has(const Digest& digest) const {
  return std::find(digests.begin(), digests.end(), digest) != digests.end();
}

void Passwords::Memory::add(const Digest& digest) {
  if (has(digest)) return;
  if (digests.size() >= kMostRemembered) digests.pop_front();
  digests.push_back(digest);
}

/// A changed hash gives another digest, so that nothing need be forgotten when the file changes.
Passwords::Digest Passwords::digest(const std::string& hash, const Credentials& credentials) const {
  std::string text = credentials.user;
  text.append(1, '\0').append(hash).append(1, '\0').append(credentials.password);
  Digest out;
  unsigned size = 0;
  HMAC(EVP_sha256(), key_.data(), static_cast<int>(key_.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), out.data(), &size);
  OPENSSL_cleanse(text.data(), text.size());
  return out;
}

std::optional<bool> Passwords::recall(const Users& users, const Credentials& credentials) const {
  const auto user = users.find(credentials.user);
  const Digest wanted = digest(user == users.end() ? nobody() : user->second, credentials);
  const std::lock_guard lock(mutex_);
  if (user != users.end() && right_.has(wanted)) return true;
  if (wrong_.has(wanted)) return false;
  return std::nullopt;
}

bool Passwords::check(const Users& users, const Credentials& credentials) {
  const auto user = users.find(credentials.user);
  const std::string hash = user == users.end() ? nobody() : user->second;
  const bool right = matches(credentials.password, hash) && user != users.end();
  const Digest checked = digest(hash, credentials);
  const std::lock_guard lock(mutex_);
  (right ? right_ : wrong_).add(checked);
  return right;
}

}  // namespace optipod::http
