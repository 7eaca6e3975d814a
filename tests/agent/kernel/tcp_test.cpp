// SPDX-License-Identifier: Apache-2.0
//
// TCP per cgroup against TCP_INFO of the very sockets and the counters of their network namespace.
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sstream>
#include <vector>

#include "agent/profiler/kernel/open.hpp"
#include "agent/profiler/kernel/probe.hpp"
#include "tests/agent/kernel/network.hpp"
#include "tests/agent/kernel/stages.hpp"
#include "tests/agent/kernel/support.hpp"
#include "tests/support/catch.hpp"

using namespace optipod;
using namespace optipod::agent;
using namespace optipod::agent::test;

namespace {

/// What a worker tells of its connection; both ends are its own.
enum Told : std::size_t { kToldSent, kToldReceived, kToldRtt, kToldRetransmitted, kToldNamespace };

[[noreturn]] void give_up(int code) {
  ::_exit(code);
}

struct Connection {
  int client = -1, server = -1;

  void send(std::size_t bytes) const {
    const std::vector<char> data(bytes, 'x');
    if (::send(client, data.data(), bytes, 0) != static_cast<ssize_t>(bytes)) give_up(12);
  }
  void receive(std::size_t bytes) const {
    std::vector<char> data(bytes);
    if (::recv(server, data.data(), bytes, MSG_WAITALL) != static_cast<ssize_t>(bytes)) give_up(13);
  }
  void close() const {
    ::close(client);
    ::close(server);
  }
};

Connection connect_to_self() {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* any = reinterpret_cast<sockaddr*>(&address);
  socklen_t length = sizeof address;
  if (::bind(listener, any, length) != 0 || ::listen(listener, 1) != 0) give_up(14);
  if (::getsockname(listener, any, &length) != 0) give_up(15);
  Connection made;
  made.client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::connect(made.client, any, length) != 0) give_up(16);
  made.server = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (made.server < 0) give_up(17);
  ::close(listener);
  return made;
}

tcp_info info(int fd) {
  tcp_info now{};
  socklen_t length = sizeof now;
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &now, &length) != 0) give_up(18);
  return now;
}

/// Until nothing is on its way any more, so that the counts stand still.
void settle(const Connection& connection) {
  while (info(connection.client).tcpi_unacked != 0) ::usleep(1000);
}

/// RetransSegs of /proc/net/snmp: of this network namespace.
std::uint64_t retransmitted_here() {
  std::istringstream lines(read_file("/proc/thread-self/net/snmp"));
  std::string line;
  std::vector<std::string> names;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::vector<std::string> row;
    for (std::string word; words >> word;) row.push_back(word);
    if (row.empty() || row[0] != "Tcp:") continue;
    if (names.empty()) {
      names = row;
      continue;
    }
    for (std::size_t i = 0; i < row.size(); ++i)
      if (names[i] == "RetransSegs") return std::stoull(row[i]);
  }
  throw std::runtime_error("no RetransSegs");
}

void tell(Stages& stages, const Connection& connection) {
  const tcp_info client = info(connection.client);
  const tcp_info server = info(connection.server);
  stages.tell(kToldSent, client.tcpi_bytes_sent + server.tcpi_bytes_sent);
  stages.tell(kToldReceived, client.tcpi_bytes_received + server.tcpi_bytes_received);
  stages.tell(kToldRtt, std::uint64_t{client.tcpi_rtt} + server.tcpi_rtt);
  stages.tell(kToldRetransmitted, client.tcpi_total_retrans + server.tcpi_total_retrans);
  stages.tell(kToldNamespace, retransmitted_here());
}

/// The receiving socket loses every segment until this is taken away: a filter that lets 0 bytes
/// through.
void lose_everything(int fd) {
  sock_filter nothing[] = {{BPF_RET | BPF_K, 0, 0, 0}};
  const sock_fprog program{1, nothing};
  if (::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0) give_up(19);
}
void lose_nothing(int fd) {
  const int unused = 0;
  if (::setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused) != 0) give_up(20);
}

}  // namespace

TEST_CASE("bytes and round trip times are the sockets' own, in any network namespace") {
  const Cgroup root = Cgroup::top("tcp");
  const Cgroup group = root.child("a");
  auto kernel = Kernel::open(options_for(root.from_mount()));
  REQUIRE(kernel);
  INFO(kernel->diagnostics());
  if (refuses_socket_walk()) {  // the kernel matrix has those that permit it
    CHECK((kernel->valid() & shm::kValidTcp) == 0);
    CHECK((kernel->valid() & shm::kValidTcpRetransmits) != 0);
    WARN("no walk over socket storage here: neither bytes nor round trip times are told");
    return;
  }
  REQUIRE((kernel->valid() & shm::kValidTcp) != 0);
  REQUIRE(kernel->assign(group.fd(), group.id(), kFirstSlot));
  Stages stages;
  Worker worker(group.path(), -1, [&stages] {
    own_network();
    const Connection connection = connect_to_self();
    connection.send(100'000);
    connection.receive(100'000);
    settle(connection);
    tell(stages, connection);
    stages.done(1);
    stages.wait_for(2);
    connection.send(23'456);
    connection.receive(23'456);
    settle(connection);
    connection.close();
  });
  stages.wait_done(1);
  kernel->take_up();
  const shm::TcpStats open = kernel->slot_values(kFirstSlot).tcp;
  CHECK(stages.told(kToldReceived) == 100'000);
  CHECK(open.bytes[shm::kSent] == stages.told(kToldSent));
  CHECK(open.bytes[shm::kReceived] == stages.told(kToldReceived));
  // Each end moved data since the last look, so each is seen once, with the time it has now.
  CHECK(events(open.rtt) == 2);
  CHECK(open.rtt.sum_ns == stages.told(kToldRtt) * 1000);
  // Nothing moved: nothing is added.
  kernel->take_up();
  CHECK(events(kernel->slot_values(kFirstSlot).tcp.rtt) == 2);

  stages.start(2);
  CHECK(worker.join() == 0);
  // Without another walk: what was open counts at its end, which the kernel counts as a byte.
  const auto ended = [&kernel] { return kernel->slot_values(kFirstSlot).tcp; };
  for (int tries = 0; tries < 5000 && events(ended().rtt) < 4; ++tries) ::usleep(1000);
  CHECK(events(ended().rtt) == 4);
  const std::uint64_t received = ended().bytes[shm::kReceived];
  CHECK(received >= 123'456);
  CHECK(received <= 123'458);
  CHECK(ended().bytes[shm::kSent] >= 123'456);
  CHECK(kernel->node_values().tcp.bytes[shm::kReceived] == received);
  kernel->reset_slot(kFirstSlot);
  CHECK(kernel->slot_values(kFirstSlot).tcp.bytes[shm::kReceived] == 0);
  CHECK(kernel->node_values().tcp.bytes[shm::kReceived] == received);
}

TEST_CASE("segments sent again are those that the sockets and their namespace count") {
  const kernel::Probes best = kernel::probe(options_for());
  kernel::Probes untyped = best;
  untyped.tp_btf = false;
  REQUIRE(kernel::plan(untyped).tcp_retransmits);
  REQUIRE_FALSE(kernel::plan(untyped).tcp);
  for (const auto& probes : {best, untyped}) {
    const Cgroup group = Cgroup::top("tcp-loss");
    const Cgroup idle = Cgroup::top("tcp-idle");
    auto kernel = kernel::open(options_for(), probes);
    REQUIRE(kernel);
    REQUIRE((kernel->valid() & shm::kValidTcpRetransmits) != 0);
    REQUIRE(kernel->assign(group.fd(), group.id(), kFirstSlot));
    REQUIRE(kernel->assign(idle.fd(), idle.id(), kFirstSlot + 1));
    Stages stages;
    Worker worker(group.path(), -1, [&stages] {
      own_network();
      const Connection connection = connect_to_self();
      lose_everything(connection.server);
      connection.send(300'000);
      while (info(connection.client).tcpi_total_retrans < 3) ::usleep(1000);
      lose_nothing(connection.server);
      connection.receive(300'000);
      settle(connection);
      tell(stages, connection);
      stages.done(1);
      stages.wait_for(2);
    });
    stages.wait_done(1);
    const shm::TcpStats lost = kernel->slot_values(kFirstSlot).tcp;
    CHECK(stages.told(kToldRetransmitted) >= 3);
    CHECK(lost.retransmitted_segments == stages.told(kToldRetransmitted));
    CHECK(lost.retransmitted_segments == stages.told(kToldNamespace));
    CHECK(kernel->slot_values(kFirstSlot + 1).tcp.retransmitted_segments == 0);
    stages.start(2);
    CHECK(worker.join() == 0);
  }
}
