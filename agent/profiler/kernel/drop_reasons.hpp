// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace optipod::agent::kernel {

/// The name of an enumerator of enum skb_drop_reason as a reason is told: SKB_DROP_REASON_NO_SOCKET
/// is "no_socket". "" when nothing is lost for it: a packet that was used, a copy meant for
/// somebody else, what stands in a queue whose socket is closed, a second acknowledgement, local
/// sockets.
[[nodiscard]] std::string drop_reason(std::string_view enumerator);

}  // namespace optipod::agent::kernel
