// SPDX-License-Identifier: Apache-2.0
//
// Peers that need a process on either side: ZeroMQ over a Unix socket, and iceoryx, with its
// daemon.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace optipod::bench {

/// Nanoseconds from a message of 56 or 184 bytes to its echo by another process. Infinite when it
/// could not be measured, which has been said on stderr.
double zmq_round_trip(std::size_t bytes, std::uint64_t messages);
double iceoryx_round_trip(std::size_t bytes, std::uint64_t messages);

/// iceoryx' daemon, which holds all its shared memory; gone with the object.
class Roudi {
 public:
  Roudi();
  ~Roudi();
  Roudi(const Roudi&) = delete;
  Roudi& operator=(const Roudi&) = delete;

 private:
  pid_t pid_ = -1;
};

}  // namespace optipod::bench
