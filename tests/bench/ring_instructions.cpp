// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/ring_instructions.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <memory>
#include <vector>

#include "tests/bench/ring_peers.hpp"

namespace optipod::bench {
namespace {

constexpr int kOperations = 1000;  // fewer than a queue holds, so that none is ever full

/// The function whose instructions callgrind counts, by this name; one instance per peer and size.
template <class Peer, class M>
[[gnu::noinline]] void push_a_thousand(Peer& peer, const M& message) {
  for (int i = 0; i < kOperations; ++i) peer.push(message);
}

template <template <class> class Peer, std::size_t kBytes>
void run() {
  using M = Message<kBytes>;
  const auto peer = std::make_unique<Peer<M>>();
  M message{};
  for (std::size_t i = 0; i < kBytes / 8; ++i) message.words[i] = i;
  push_a_thousand(*peer, message);
}

}  // namespace

bool run_counted(const std::string& name) {
  if (name == "ring_56") return run<RingPeer, 56>(), true;
  if (name == "ring_184") return run<RingPeer, 184>(), true;
  if (name == "spsc_56") return run<SpscPeer, 56>(), true;
  if (name == "spsc_184") return run<SpscPeer, 184>(), true;
  if (name == "mq_56") return run<MessageQueuePeer, 56>(), true;
  if (name == "mq_184") return run<MessageQueuePeer, 184>(), true;
  return false;
}

tl::expected<double, std::string> count_instructions(const std::string& name) {
  using Error = tl::unexpected<std::string>;
  char self[4096] = {};
  if (::readlink("/proc/self/exe", self, sizeof self - 1) < 0) return Error("cannot find myself");
  char directory[] = "/tmp/optipod-bench-XXXXXX";
  if (::mkdtemp(directory) == nullptr) return Error("cannot make a directory in /tmp");
  const std::string out = std::string(directory) + "/callgrind.out";
  const struct Cleanup {
    const std::string& file;
    const char* directory;
    ~Cleanup() {
      ::unlink(file.c_str());
      ::rmdir(directory);
    }
  } cleanup{out, directory};

  const std::string to = "--callgrind-out-file=" + out;
  const pid_t child = ::fork();
  if (child == 0) {
    const int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    ::dup2(null, STDERR_FILENO);
    ::execlp("valgrind", "valgrind", "--tool=callgrind", "--collect-atstart=no",
             "--toggle-collect=*push_a_thousand*", to.c_str(), self, "--count", name.c_str(),
             nullptr);
    ::_exit(127);
  }
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child || !WIFEXITED(status)) {
    return Error("valgrind did not run to its end");
  }
  if (WEXITSTATUS(status) == 127) {
    return Error(
        "valgrind is not installed: instruction counts need it (apt-get install valgrind)");
  }
  if (WEXITSTATUS(status) != 0) return Error("valgrind failed on --count " + name);

  std::ifstream in(out);
  for (std::string line; std::getline(in, line);) {
    for (const char* key : {"totals: ", "summary: "}) {
      if (!line.starts_with(key)) continue;
      const double total = std::strtod(line.c_str() + std::string(key).size(), nullptr);
      if (total > 0) return total / kOperations;
    }
  }
  return Error("callgrind counted nothing in " + name);
}

}  // namespace optipod::bench
