// SPDX-License-Identifier: Apache-2.0
//
// Whether a request is let through. Checking a password takes long by intention, so that it happens
// on a thread of its own, one at a time, for a bounded number that wait: a stranger who guesses
// costs nobody who is known already.
#include <boost/asio/post.hpp>

#include "common/http/session.hpp"

namespace optipod::http {

namespace asio = boost::asio;

void Session::authenticate() {
  config_ = shared_.web->current();
  if (config_->users.empty()) return dispatch();
  const auto credentials = basic_credentials(reader_.head().field("Authorization"));
  if (!credentials) return deny(401);
  const auto known = shared_.passwords.recall(config_->users, *credentials);
  if (!known) return wait_for_check(*credentials);
  *known ? dispatch() : deny(401);
}

void Session::wait_for_check(const Credentials& credentials) {
  Lane& lane = shared_.lanes->passwords;
  if (lane.try_enter()) return check_password(credentials);
  const auto resume = [self = shared_from_this(), credentials](Turn later) {
    asio::post(self->transport_.executor(), [self, credentials, later] {
      if (later != Turn::kRun) return self->deny(503);
      if (!self->peer_has_gone()) return self->check_password(credentials);
      self->shared_.lanes->passwords.leave();
      self->close();
    });
  };
  const Turn turn = lane.wait(last_read_, resume);
  if (turn == Turn::kRun) return check_password(credentials);
  if (turn != Turn::kWait) deny(503);
}

/// Whoever waited for the same credentials finds what was remembered.
void Session::check_password(const Credentials& credentials) {
  shared_.password_workers.run("basic_auth_users", [self = shared_from_this(), credentials] {
    bool right = false;
    {
      const LeaveLane leave{self->shared_.lanes->passwords};
      Passwords& passwords = self->shared_.passwords;
      const Users& users = self->config_->users;
      const auto known = passwords.recall(users, credentials);
      right = known ? *known : passwords.check(users, credentials);
    }
    asio::post(self->transport_.executor(),
               [self, right] { right ? self->dispatch() : self->deny(401); });
  });
}

void Session::deny(unsigned status) {
  route_ = nullptr;
  reset_response(status);
  if (status == 401) {
    response_.headers.emplace_back("WWW-Authenticate", "Basic");
    response_.body = "Unauthorized\n";
  } else {
    response_.headers.emplace_back("Retry-After", "1");
  }
  render();
  write_reply();
}

}  // namespace optipod::http
