// SPDX-License-Identifier: Apache-2.0
//
// The shared-memory ring beside queues, rings and messaging that others use: Boost's, moodycamel's,
// libqb, ZeroMQ, iceoryx. All run pass by pass in turn, and the best of the passes counts: what
// others on the machine take away hits each of them, and only ever adds. Of round trips the lower
// quartile counts: where two CPUs happen to be close for a moment, the best would be an accident.
// Instruction counts are exact.
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <thread>
#include <vector>

#include "shm/layout.hpp"
#include "shm/tick.hpp"
#include "tests/bench/ring_instructions.hpp"
#include "tests/bench/ring_messaging.hpp"
#include "tests/bench/ring_peers.hpp"
#include "tests/bench/ring_peers_debian.hpp"
#include "tests/shm/process.hpp"
#include "tests/support/bench.hpp"

namespace optipod::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kPasses = 11;
constexpr int kRoundTripPasses = 60;  // short ones: two processes seldom have two CPUs for long

double ns_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::nano>(Clock::now() - begin).count();
}

/// A spinning wait that lets others run when it takes long: the machine may have one CPU to give.
class Spin {
 public:
  void wait() {
    if (++turns_ % 4096 == 0) std::this_thread::yield();
  }

 private:
  unsigned turns_ = 0;
};

/// What one side needs, over passes that take turns with the other sides'.
struct Side {
  const char* peer;
  std::function<double()> pass;
  int every = 1;  ///< takes part in every so many passes: for those that need long to begin
  std::vector<double> took;
};

/// Sides[0] is OptiPod; each other one makes a line. Of the passes counts the one that so many of
/// 100 are faster than; 0: the best.
void compare(Report& report, const std::string& name, const std::string& unit,
             std::vector<Side> sides, int passes = kPasses, std::size_t faster = 0) {
  for (int i = 0; i < passes; ++i) {
    for (Side& side : sides) {
      if (i % side.every == 0) side.took.push_back(side.pass());
    }
  }
  const auto chosen = [faster](Side& side) {
    std::sort(side.took.begin(), side.took.end());
    return side.took[side.took.size() * faster / 100];
  };
  const double ours = chosen(sides[0]);
  for (std::size_t i = 1; i < sides.size(); ++i) {
    const double theirs = chosen(sides[i]);
    if (!std::isfinite(theirs)) continue;  // it could not be measured, and said so
    report.add({.bench = "ring",
                .name = name,
                .value = ours,
                .unit = unit,
                .peer = sides[i].peer,
                .peer_value = theirs});
  }
}

/// Nanoseconds per push, nobody reading: bursts that fill the queue, emptied off the clock.
template <template <class> class Peer, std::size_t kBytes>
Side publish_alone() {
  using M = Message<kBytes>;
  auto peer = std::make_shared<Peer<M>>();
  return {Peer<M>::kName, [peer] {
            constexpr int kBursts = 16;
            M message{};
            double best = std::numeric_limits<double>::infinity();
            for (int burst = 0; burst < kBursts; ++burst) {
              peer->drain();
              const auto begin = Clock::now();
              for (std::size_t i = 0; i < kQueued; ++i) {
                message.words[0] = i;
                peer->push(message);
              }
              best = std::min(best, ns_since(begin) / double{kQueued});
            }
            return best;
          }};
}

/// Nanoseconds per push while another thread takes messages out as fast as it can.
template <template <class> class Peer, std::size_t kBytes>
Side publish_while_read(std::uint64_t messages) {
  using M = Message<kBytes>;
  return {Peer<M>::kName, [messages] {
            const auto peer = std::make_unique<Peer<M>>();
            std::atomic<bool> stop = false;
            std::atomic<bool> ready = false;
            std::thread reader([&] {
              M message{};
              ready = true;
              // The last message is the one that ends it, for those that wait in pop().
              while (!stop && message.words[0] != messages) (void)peer->pop(message);
            });
            while (!ready) std::this_thread::yield();
            M message{};
            const auto begin = Clock::now();
            for (std::uint64_t i = 1; i <= messages; ++i) {
              message.words[0] = i;
              peer->push(message);
            }
            const double ns = ns_since(begin) / static_cast<double>(messages);
            stop = true;
            reader.join();
            return ns;
          }};
}

/// Keeps this process on the first or the second of the CPUs it may use, if it has two.
class OnCpu {
 public:
  explicit OnCpu(int which) {
    ::sched_getaffinity(0, sizeof was_, &was_);
    if (CPU_COUNT(&was_) < 2) return;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (!CPU_ISSET(cpu, &was_) || which-- > 0) continue;
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(cpu, &one);
      ::sched_setaffinity(0, sizeof one, &one);
      return;
    }
  }
  ~OnCpu() { ::sched_setaffinity(0, sizeof was_, &was_); }
  OnCpu(const OnCpu&) = delete;
  OnCpu& operator=(const OnCpu&) = delete;

 private:
  cpu_set_t was_{};
};

/// Nanoseconds from a message to its echo by another process. Each side has a CPU of its own,
/// except where both sleep: there the scheduler knows better.
template <template <class> class Peer, std::size_t kBytes, bool kSpins = true>
Side round_trip(std::uint64_t messages) {
  using M = Message<kBytes>;
  struct Pair {
    Peer<M> there, back;
  };
  return {Peer<M>::kName, [messages] {
            const shm::test::Shared<Pair> pair;
            shm::test::Child echo([&] {
              const auto place = kSpins ? std::make_unique<OnCpu>(1) : nullptr;
              M message{};
              Spin spin;
              for (std::uint64_t i = 0; i < messages; ++i) {
                while (!pair->there.pop(message)) spin.wait();
                pair->back.push(message);
              }
              return true;
            });
            const auto place = kSpins ? std::make_unique<OnCpu>(0) : nullptr;
            M message{};
            Spin spin;
            const auto begin = Clock::now();
            for (std::uint64_t i = 0; i < messages; ++i) {
              message.words[0] = i;
              pair->there.push(message);
              while (!pair->back.pop(message)) spin.wait();
            }
            const double ns = ns_since(begin) / static_cast<double>(messages);
            return echo.wait() ? ns : std::numeric_limits<double>::infinity();
          }};
}

/// Publishing: everybody. Between threads and between processes: those that can.
template <std::size_t kBytes>
void compare_publishing(Report& report) {
  const std::string size = std::to_string(kBytes);
  std::vector<Side> alone = {publish_alone<RingPeer, kBytes>(), publish_alone<SpscPeer, kBytes>(),
                             publish_alone<MessageQueuePeer, kBytes>()};
  std::vector<Side> read = {publish_while_read<RingPeer, kBytes>(400'000),
                            publish_while_read<SpscPeer, kBytes>(400'000),
                            publish_while_read<MessageQueuePeer, kBytes>(40'000)};
#if HAVE_MOODYCAMEL
  alone.push_back(publish_alone<ReaderWriterQueuePeer, kBytes>());
  alone.push_back(publish_alone<ConcurrentQueuePeer, kBytes>());
  read.push_back(publish_while_read<ReaderWriterQueuePeer, kBytes>(400'000));
  read.push_back(publish_while_read<ConcurrentQueuePeer, kBytes>(400'000));
#endif
#if HAVE_LIBQB
  alone.push_back(publish_alone<QbPeer, kBytes>());
#endif
  compare(report, "publish_" + size, "ns", std::move(alone));
  compare(report, "publish_" + size + "_while_read", "ns", std::move(read));
}

template <std::size_t kBytes>
void compare_round_trips(Report& report) {
  std::vector<Side> sides = {
      round_trip<RingPeer, kBytes>(2'000), round_trip<WordPeer, kBytes>(2'000),
      round_trip<SpscPeer, kBytes>(2'000), round_trip<MessageQueuePeer, kBytes, false>(200)};
#if HAVE_LIBQB
  sides.push_back(round_trip<QbPeer, kBytes>(2'000));
#endif
#if HAVE_ZMQ
  sides.push_back({"ZeroMQ ipc", [] { return zmq_round_trip(kBytes, 200); }, 3});
#endif
#if HAVE_ICEORYX
  const Roudi roudi;
  sides.push_back({"iceoryx", [] { return iceoryx_round_trip(kBytes, 2'000); }, 6});
#endif
  compare(report, "round_trip_" + std::to_string(kBytes), "ns", std::move(sides), kRoundTripPasses,
          25);
}

/// False when something failed, or when ours needs more than `budget`.
bool instructions(Report& report, const std::string& size, double budget) {
  const auto ours = count_instructions("ring_" + size);
  if (!ours) {
    std::fprintf(stderr, "bench ring: %s\n", ours.error().c_str());
    return false;
  }
  for (const auto& [key, name] : counted_peers()) {
    const auto count = count_instructions(key + "_" + size);
    if (!count) {
      std::fprintf(stderr, "bench ring: %s\n", count.error().c_str());
      return false;
    }
    report.add({.bench = "ring",
                .name = "publish_" + size + "_instructions",
                .value = *ours,
                .unit = "instructions",
                .peer = name,
                .peer_value = *count});
  }
  if (*ours <= budget) return true;
  std::fprintf(stderr, "bench ring: publishing %s bytes takes %.1f instructions, more than %.0f\n",
               size.c_str(), *ours, budget);
  return false;
}

/// Records lost by two readers that look 100 times a second, at 100,000 records of 184 bytes a
/// second.
double paced_loss() {
  using M = Message<184>;
  constexpr std::uint64_t kCapacity = 65'536, kRecords = 200'000, kBurst = 100;
  constexpr std::size_t kSlotWords = shm::slot_bytes(sizeof(M)) / 8;
  std::vector<std::uint64_t> memory(shm::ring_bytes(sizeof(M), kCapacity) / 8);
  shm::RingWriter writer(memory.data(), kCapacity, kSlotWords);
  std::atomic<std::uint64_t> lost = 0;
  std::vector<std::thread> readers;
  readers.reserve(2);
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      shm::RingCursor cursor(shm::RingReader(memory.data(), kCapacity, kSlotWords, sizeof(M) / 8));
      M message;
      while (cursor.next() < kRecords) {
        while (cursor.poll(message) != shm::ReadStatus::kNotYet) {
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
      }
      lost += cursor.lost();
    });
  }
  auto due = Clock::now();
  M message{};
  for (std::uint64_t i = 0; i < kRecords; ++i) {
    if (i % kBurst == 0) std::this_thread::sleep_until(due += std::chrono::milliseconds(1));
    writer.publish(message);
  }
  for (auto& reader : readers) reader.join();
  return static_cast<double>(lost.load());
}

/// Nanoseconds per push, over 50 ms of nothing else, while `readers` look 100 times a second and
/// take whatever is there: what views cost the agent.
template <std::size_t kBytes>
Side publish_watched(const char* name, int readers) {
  using M = Message<kBytes>;
  return {
      name, [readers] {
        constexpr std::size_t kSlotWords = shm::slot_bytes(kBytes) / 8;
        std::vector<std::uint64_t> memory(shm::ring_bytes(kBytes, kQueued) / 8);
        shm::RingWriter writer(memory.data(), kQueued, kSlotWords);
        std::atomic<bool> stop = false;
        std::vector<std::thread> watching;
        for (int i = 0; i < readers; ++i) {
          watching.emplace_back([&] {
            shm::RingCursor cursor(shm::RingReader(memory.data(), kQueued, kSlotWords, kBytes / 8));
            M message;
            while (!stop) {
              // Not for ever: the writer may always be ahead.
              for (std::size_t k = 0; k < kQueued; ++k) {
                if (cursor.poll(message) == shm::ReadStatus::kNotYet) break;
              }
              std::this_thread::sleep_for(std::chrono::milliseconds(10));
            }
          });
        }
        M message{};
        std::uint64_t pushed = 0;
        const auto begin = Clock::now();
        while (Clock::now() - begin < std::chrono::milliseconds(50)) {
          for (int i = 0; i < 1000; ++i) {
            message.words[0] = ++pushed;
            writer.publish(message);
          }
        }
        const double ns = ns_since(begin) / static_cast<double>(pushed);
        stop = true;
        for (auto& reader : watching) reader.join();
        return ns;
      }};
}

template <std::size_t kBytes>
void compare_watched(Report& report) {
  compare(report, "publish_" + std::to_string(kBytes) + "_two_readers_at_100_hz", "ns",
          {publish_watched<kBytes>("", 2), publish_watched<kBytes>("alone", 0)});
}

/// Microseconds to open, check and map a segment of 14 MB.
double attach_time(std::string& error) {
  char directory[] = "/dev/shm/optipod-bench-XXXXXX";
  if (::mkdtemp(directory) == nullptr) {
    error = "cannot make a directory in /dev/shm";
    return 0;
  }
  double best = std::numeric_limits<double>::infinity();
  {
    shm::WriterOptions options;
    options.path = std::string(directory) + "/current.shm";
    options.max_containers = 2048;
    const auto writer = shm::TickWriter::create(options);
    if (!writer) error = writer.error();
    for (int i = 0; writer && i < 200; ++i) {
      const auto begin = Clock::now();
      const shm::TickReader reader({.path = options.path});
      best = std::min(best, ns_since(begin) / 1000);
      if (reader.attach_state() != shm::AttachState::kAttached) error = reader.detail();
    }
  }
  std::filesystem::remove_all(directory);
  return best;
}

int run(int argc, char** argv) {
  Report report(argc, argv);
  if (!instructions(report, "56", 60) || !instructions(report, "184", 160)) return 1;
  compare_publishing<56>(report);
  compare_publishing<184>(report);
  compare_watched<56>(report);
  compare_watched<184>(report);
  compare_round_trips<56>(report);
  compare_round_trips<184>(report);
  std::string error;
  const double attach = attach_time(error);
  if (!error.empty()) {
    std::fprintf(stderr, "bench ring: %s\n", error.c_str());
    return 1;
  }
  report.add({.bench = "ring", .name = "attach_14_mb", .value = attach, .unit = "us"});
  report.add({.bench = "ring",
              .name = "lost_at_100000_a_second",
              .value = paced_loss(),
              .unit = "records"});
  return 0;
}

}  // namespace
}  // namespace optipod::bench

int main(int argc, char** argv) {
  if (argc == 3 && std::string(argv[1]) == "--count") {
    return optipod::bench::run_counted(argv[2]) ? 0 : 2;
  }
  return optipod::bench::run(argc, argv);
}
