// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace optipod::http {

/// Bytes the peer has sent on this TCP socket so far, by the kernel's count; 0 when it cannot tell.
std::uint64_t tcp_received(int socket);

/// Whether the peer has ended its side, whatever of its bytes is still to be read.
bool tcp_peer_ended(int socket);

/// Makes close() answer the peer with a reset, so that one who floods us stops at once.
void reset_on_close(int socket);

}  // namespace optipod::http
