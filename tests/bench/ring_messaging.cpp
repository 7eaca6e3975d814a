// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/ring_messaging.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <limits>
#include <string>
#include <thread>

#if HAVE_ICEORYX
#include <iceoryx_posh/popo/publisher.hpp>
#include <iceoryx_posh/popo/subscriber.hpp>
#include <iceoryx_posh/runtime/posh_runtime.hpp>
#endif
#if HAVE_ZMQ
#include <zmq.h>
#endif

#include "tests/bench/ring_peers.hpp"
#include "tests/shm/process.hpp"

namespace optipod::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr unsigned kLimitSeconds = 30;  // of one measurement: a peer that hangs ends by SIGALRM
constexpr double kNothing = std::numeric_limits<double>::infinity();

/// An End is one side of a connection: End(first, run), send(), receive(), which waits. Both sides
/// are new processes, because such libraries do not outlive a fork.
template <class End, class M>
double echo_time(std::uint64_t messages, const char* name) {
  static int runs = 0;
  const int run = ++runs;
  const shm::test::Shared<double> nanoseconds;
  shm::test::Child echo([&] {
    ::alarm(kLimitSeconds);
    End end(false, run);
    M message{};
    for (std::uint64_t i = 0; i <= messages; ++i) {
      end.receive(message);
      end.send(message);
    }
    return true;
  });
  shm::test::Child asks([&] {
    ::alarm(kLimitSeconds);
    End end(true, run);
    M message{};
    end.send(message);  // the first one waits for the connection
    end.receive(message);
    const auto begin = Clock::now();
    for (std::uint64_t i = 0; i < messages; ++i) {
      end.send(message);
      end.receive(message);
    }
    *nanoseconds = std::chrono::duration<double, std::nano>(Clock::now() - begin).count() /
                   static_cast<double>(messages);
    return true;
  });
  const bool asked = asks.wait(), echoed = echo.wait();
  if (asked && echoed) return *nanoseconds;
  std::fprintf(stderr, "bench ring: %s did not answer\n", name);
  return kNothing;
}

#if HAVE_ZMQ
/// Two PAIR sockets over a Unix socket.
template <class M>
class ZmqEnd {
 public:
  ZmqEnd(bool first, int run) : context_(zmq_ctx_new()), socket_(zmq_socket(context_, ZMQ_PAIR)) {
    const std::string address = fmt::format("ipc://@optipod-bench-{}-{}", ::getppid(), run);
    if (first) {
      zmq_bind(socket_, address.c_str());
    } else {
      zmq_connect(socket_, address.c_str());
    }
  }
  ~ZmqEnd() {
    zmq_close(socket_);
    zmq_ctx_term(context_);
  }
  ZmqEnd(const ZmqEnd&) = delete;
  ZmqEnd& operator=(const ZmqEnd&) = delete;
  void send(const M& m) { zmq_send(socket_, &m, sizeof m, 0); }
  void receive(M& m) { zmq_recv(socket_, &m, sizeof m, 0); }

 private:
  void* context_;
  void* socket_;
};
#endif

#if HAVE_ICEORYX
/// A topic there and one back; both sides spin, as the ring's do.
template <class M>
class IceoryxEnd {
 public:
  IceoryxEnd(bool first, int run) : publisher_(topic(first, run)), subscriber_(topic(!first, run)) {
    while (!publisher_.hasSubscribers() ||
           subscriber_.getSubscriptionState() != iox::SubscribeState::SUBSCRIBED) {
      std::this_thread::yield();
    }
  }
  void send(const M& m) {
    publisher_.loan().and_then([&](auto& sample) {
      *sample = m;
      sample.publish();
    });
  }
  void receive(M& m) {
    bool got = false;
    for (unsigned tries = 1; !got; ++tries) {
      subscriber_.take().and_then([&](const auto& sample) {
        m = *sample;
        got = true;
      });
      if (tries % 4096 == 0) std::this_thread::yield();
    }
  }

 private:
  static iox::capro::ServiceDescription topic(bool there, int run) {
    const std::string name = fmt::format("optipod-{}-{}", ::getpid(), there);
    static const bool registered = [&] {
      // It says what it does on both.
      const int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
      ::dup2(null, STDOUT_FILENO);
      ::dup2(null, STDERR_FILENO);
      iox::runtime::PoshRuntime::initRuntime(
          iox::RuntimeName_t(iox::cxx::TruncateToCapacity, name));
      return true;
    }();
    (void)registered;
    const auto word = [](const std::string& text) {
      return iox::capro::IdString_t(iox::cxx::TruncateToCapacity, text);
    };
    return {word("optipod"), word(there ? "there" : "back"), word(std::to_string(run))};
  }
  iox::popo::Publisher<M> publisher_;
  iox::popo::Subscriber<M> subscriber_;
};
#endif

}  // namespace

double zmq_round_trip([[maybe_unused]] std::size_t bytes, [[maybe_unused]] std::uint64_t messages) {
#if HAVE_ZMQ
  constexpr const char* kName = "ZeroMQ";
  return bytes == 56 ? echo_time<ZmqEnd<Message<56>>, Message<56>>(messages, kName)
                     : echo_time<ZmqEnd<Message<184>>, Message<184>>(messages, kName);
#else
  return kNothing;
#endif
}

double iceoryx_round_trip([[maybe_unused]] std::size_t bytes,
                          [[maybe_unused]] std::uint64_t messages) {
#if HAVE_ICEORYX
  constexpr const char* kName = "iceoryx";
  return bytes == 56 ? echo_time<IceoryxEnd<Message<56>>, Message<56>>(messages, kName)
                     : echo_time<IceoryxEnd<Message<184>>, Message<184>>(messages, kName);
#else
  return kNothing;
#endif
}

Roudi::Roudi() {
#if HAVE_ICEORYX
  pid_ = ::fork();
  if (pid_ != 0) return;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  ::dup2(null, STDOUT_FILENO);
  ::dup2(null, STDERR_FILENO);
  ::execlp("iox-roudi", "iox-roudi", "-l", "off", nullptr);
  ::_exit(127);
#endif
}

Roudi::~Roudi() {
  if (pid_ <= 0) return;
  if (::waitpid(pid_, nullptr, WNOHANG) != 0) return;  // another one was there first
  ::kill(pid_, SIGTERM);
  ::waitpid(pid_, nullptr, 0);
  // It leaves its memory behind: its own, and that of the group whose members used it.
  ::shm_unlink("/iceoryx_mgmt");
  if (const group* mine = ::getgrgid(::getegid())) ::shm_unlink(mine->gr_name);
}

}  // namespace optipod::bench
