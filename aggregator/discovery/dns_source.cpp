// SPDX-License-Identifier: Apache-2.0
#include "aggregator/discovery/dns_source.hpp"

#include <ares.h>
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "aggregator/discovery/polled_source.hpp"

namespace optipod::aggregator {
namespace {

using Clock = std::chrono::steady_clock;
using Addresses = tl::expected<std::vector<std::string>, std::string>;

constexpr std::chrono::seconds kTimeout{20};  ///< of one question, with all its repetitions
constexpr int kFirstTimeoutMs = 1'000;
constexpr int kTries = 3;

/// An address of a target: HOST:PORT, [v6]:PORT.
std::string with_port(int family, const void* address, const std::string& port) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(family, address, text.data(), text.size());
  return family == AF_INET6 ? fmt::format("[{}]:{}", text.data(), port)
                            : fmt::format("{}:{}", text.data(), port);
}

/// A record takes 16 bytes of a message of 64 KiB at least.
constexpr int kMostRecords = 4'096;

const void* address_of(const ares_addrttl& record) {
  return &record.ipaddr;
}
const void* address_of(const ares_addr6ttl& record) {
  return &record.ip6addr;
}

template <class Record>
using Parse = int (*)(const unsigned char*, int, hostent**, Record*, int*);

template <class Record, Parse<Record> kParse, int kFamily>
Addresses read_addresses(const unsigned char* answer, int size, const std::string& port) {
  std::vector<Record> records(kMostRecords);
  int count = kMostRecords;
  const int status = kParse(answer, size, nullptr, records.data(), &count);
  if (status == ARES_ENODATA) return std::vector<std::string>();
  if (status != ARES_SUCCESS) return tl::unexpected(std::string(ares_strerror(status)));
  records.resize(static_cast<std::size_t>(count));
  std::vector<std::string> out;
  out.reserve(records.size());
  for (const Record& record : records) out.push_back(with_port(kFamily, address_of(record), port));
  return out;
}
constexpr auto* read_a = read_addresses<ares_addrttl, ares_parse_a_reply, AF_INET>;
constexpr auto* read_aaaa = read_addresses<ares_addr6ttl, ares_parse_aaaa_reply, AF_INET6>;

Addresses read_srv(const unsigned char* answer, int size, const std::string& /*port*/) {
  ares_srv_reply* first = nullptr;
  const int status = ares_parse_srv_reply(answer, size, &first);
  if (status == ARES_ENODATA) return std::vector<std::string>();
  if (status != ARES_SUCCESS) return tl::unexpected(std::string(ares_strerror(status)));
  std::vector<std::string> out;
  for (const ares_srv_reply* record = first; record != nullptr; record = record->next) {
    // "." says that there is no such service.
    if (record->host != nullptr && *record->host != '\0') {
      out.push_back(fmt::format("{}:{}", record->host, record->port));
    }
  }
  ares_free_data(first);
  return out;
}

using Read = Addresses (*)(const unsigned char* answer, int size, const std::string& port);

/// One question at a time, to servers that are read anew each time.
class Resolver {
 public:
  explicit Resolver(const std::string& servers) {
    ares_options options{};
    options.timeout = kFirstTimeoutMs;
    options.tries = kTries;
    status_ = ares_init_options(&channel_, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES);
    if (status_ == ARES_SUCCESS && !servers.empty()) {
      status_ = ares_set_servers_ports_csv(channel_, servers.c_str());
    }
  }
  ~Resolver() {
    if (channel_ != nullptr) ares_destroy(channel_);
  }
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  [[nodiscard]] std::string problem() const {
    return status_ == ARES_SUCCESS ? std::string() : ares_strerror(status_);
  }

  Addresses ask(const std::string& name, int type, const std::string& port, Read read,
                const std::stop_token& stop) {
    if (status_ != ARES_SUCCESS) return tl::unexpected(problem());
    Question question{.port = port, .read = read};
    ares_search(channel_, name.c_str(), ns_c_in, type, on_answer, &question);
    const auto deadline = Clock::now() + kTimeout;
    while (!question.done) {
      if (stop.stop_requested() || Clock::now() >= deadline) ares_cancel(channel_);
      if (!question.done) wait();
    }
    return std::move(question.answer);
  }

 private:
  struct Question {
    const std::string& port;
    Read read;
    bool done = false;
    Addresses answer;
  };

  static void on_answer(void* context, int status, int /*timeouts*/, unsigned char* answer,
                        int size) {
    auto& question = *static_cast<Question*>(context);
    question.done = true;
    if (status == ARES_ENODATA || status == ARES_ENOTFOUND) return;  // a name without records
    if (status != ARES_SUCCESS) {
      question.answer = tl::unexpected(std::string(ares_strerror(status)));
    } else {
      question.answer = question.read(answer, size, question.port);
    }
  }

  /// For what a server sends, or until it is time to ask again; a stop is seen soon.
  void wait() {
    constexpr int kLookMs = 100;
    std::array<ares_socket_t, ARES_GETSOCK_MAXNUM> sockets{};
    const int wanted = ares_getsock(channel_, sockets.data(), ARES_GETSOCK_MAXNUM);
    std::vector<pollfd> polled;
    for (unsigned i = 0; i < sockets.size(); ++i) {
      const int events = (ARES_GETSOCK_READABLE(wanted, i) ? POLLIN : 0) |
                         (ARES_GETSOCK_WRITABLE(wanted, i) ? POLLOUT : 0);
      if (events != 0) polled.push_back({sockets[i], static_cast<short>(events), 0});
    }
    timeval most{.tv_sec = 0, .tv_usec = kLookMs * 1'000};
    timeval time{};
    ares_timeout(channel_, &most, &time);
    poll(polled.data(), polled.size(),
         static_cast<int>(time.tv_sec * 1'000 + time.tv_usec / 1'000) + 1);
    for (const pollfd& p : polled) {
      const bool broken = (p.revents & (POLLERR | POLLHUP)) != 0;
      ares_process_fd(channel_, broken || (p.revents & POLLIN) != 0 ? p.fd : ARES_SOCKET_BAD,
                      broken || (p.revents & POLLOUT) != 0 ? p.fd : ARES_SOCKET_BAD);
    }
    ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);  // what has waited long enough
  }

  ares_channel channel_ = nullptr;
  int status_ = ARES_SUCCESS;
};

struct DnsName {
  std::string name, port;  ///< port "": SRV records
};

TargetList look_up(const DnsName& name, const std::string& servers, const std::stop_token& stop) {
  Resolver resolver(servers);
  Addresses found;
  if (name.port.empty()) {
    found = resolver.ask(name.name, ns_t_srv, name.port, read_srv, stop);
  } else {
    found = resolver.ask(name.name, ns_t_a, name.port, read_a, stop);
    if (found && found->empty()) {
      found = resolver.ask(name.name, ns_t_aaaa, name.port, read_aaaa, stop);
    }
  }
  if (!found) return tl::unexpected(found.error());
  // Servers turn the order round.
  std::sort(found->begin(), found->end());
  found->erase(std::unique(found->begin(), found->end()), found->end());
  std::vector<Target> targets;
  targets.reserve(found->size());
  for (const std::string& address : *found) {
    auto target = make_target(address, {});
    if (!target) return tl::unexpected(target.error());
    targets.push_back(std::move(*target));
  }
  return targets;
}

tl::expected<DnsName, std::string> parse(const std::string& text) {
  if (text.starts_with('_')) return DnsName{text, {}};
  const auto checked = make_target(text, {});
  const auto colon = text.rfind(':');
  if (!checked || text.starts_with('[')) {
    return tl::unexpected(fmt::format(
        "--dns-sd {}: write NAME:PORT, for example --dns-sd optipod-exporter.optipod.svc:9000, or "
        "the name of SRV records, _metrics._tcp.optipod-exporter.optipod.svc",
        text));
  }
  return DnsName{text.substr(0, colon), text.substr(colon + 1)};
}

}  // namespace

tl::expected<std::unique_ptr<Source>, std::string> make_dns_source(
    const std::string& text, std::chrono::milliseconds interval, const std::string& servers) {
  auto name = parse(text);
  if (!name) return tl::unexpected(name.error());
  if (!servers.empty()) {
    if (const Resolver resolver(servers); !resolver.problem().empty()) {
      return tl::unexpected(fmt::format("--dns-server {}: write ADDRESS or ADDRESS:PORT", servers));
    }
  }
  return std::make_unique<PolledSource>(
      "dns-sd", text, interval, [name = std::move(*name), servers](const std::stop_token& stop) {
        return look_up(name, servers, stop);
      });
}

}  // namespace optipod::aggregator
