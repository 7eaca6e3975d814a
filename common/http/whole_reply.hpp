// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string_view>

#include "common/http/client.hpp"
#include "common/http/head.hpp"

namespace optipod::http {

/// Takes a reply that has come whole and needs no more than to be looked at, as most do: a sized
/// body in no encoding, of at most `max_body_bytes`, and nothing behind it. False for any other, of
/// which an Exchange knows more; `into` is as it was then. Reuses the memory of both.
bool take_whole_reply(std::string_view received, std::size_t max_body_bytes, Head& head,
                      ClientResponse& into);

}  // namespace optipod::http
