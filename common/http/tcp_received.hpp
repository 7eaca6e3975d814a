// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace optipod::http {

/// Bytes the peer has sent on this TCP socket so far, by the kernel's count; 0 when it cannot tell.
std::uint64_t tcp_received(int socket);

}  // namespace optipod::http
