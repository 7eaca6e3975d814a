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
#include "tests/bench/ring_peers_debian.hpp"

namespace optipod::bench {
namespace {

constexpr int kOperations = 1000;  // fewer than a queue holds, so that none is ever full

/// The functions whose instructions callgrind counts, by these names; one instance per peer and
/// size.
template <class Peer, class M>
[[gnu::noinline]] void push_a_thousand(Peer& peer, const M& message) {
  for (int i = 0; i < kOperations; ++i) peer.push(message);
}
template <class Peer, class M>
[[gnu::noinline]] int pop_a_thousand(Peer& peer, M& message) {
  int popped = 0;
  for (int i = 0; i < kOperations; ++i) popped += peer.pop(message) ? 1 : 0;
  return popped;
}

template <class M>
M any_message() {
  M message{};
  for (std::size_t i = 0; i < sizeof(M) / 8; ++i) message.words[i] = i;
  return message;
}

template <template <class> class Peer, std::size_t kBytes>
void push() {
  using M = Message<kBytes>;
  push_a_thousand(*std::make_unique<Peer<M>>(), any_message<M>());
}

/// Ends the program when not all of them came back.
template <std::size_t kBytes>
void read() {
  using M = Message<kBytes>;
  const auto ring = std::make_unique<RingPeer<M>>();
  M message = any_message<M>();
  for (int i = 0; i < kOperations; ++i) ring->push(message);
  if (pop_a_thousand(*ring, message) != kOperations) std::exit(1);
}

struct Counted {
  const char *key, *name;
  void (*run_56)();
  void (*run_184)();
};
template <template <class> class Peer>
constexpr Counted counted(const char* key) {
  return {key, Peer<Message<56>>::kName, push<Peer, 56>, push<Peer, 184>};
}
constexpr Counted kCounted[] = {
    counted<RingPeer>("ring"),
    {"ring_read", "", read<56>, read<184>},
    counted<SpscPeer>("spsc"),
    counted<MessageQueuePeer>("mq"),
#if HAVE_MOODYCAMEL
    counted<ReaderWriterQueuePeer>("rwq"),
    counted<ConcurrentQueuePeer>("cq"),
#endif
#if HAVE_LIBQB
    counted<QbPeer>("qb"),
#endif
};

}  // namespace

std::vector<std::pair<std::string, std::string>> counted_peers() {
  std::vector<std::pair<std::string, std::string>> peers;
  for (const Counted& one : kCounted) {
    if (*one.name != '\0') peers.emplace_back(one.key, one.name);
  }
  return peers;
}

bool run_counted(const std::string& name) {
  for (const Counted& one : kCounted) {
    if (name == std::string(one.key) + "_56") return one.run_56(), true;
    if (name == std::string(one.key) + "_184") return one.run_184(), true;
  }
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
             "--toggle-collect=*_a_thousand*", to.c_str(), self, "--count", name.c_str(), nullptr);
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
