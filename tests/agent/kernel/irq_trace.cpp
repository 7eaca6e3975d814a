// SPDX-License-Identifier: Apache-2.0
#include "tests/agent/kernel/irq_trace.hpp"

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "tests/agent/kernel/support.hpp"

namespace optipod::agent::test {
namespace {

constexpr const char* kEvents[] = {"irq_handler_entry", "irq_handler_exit", "softirq_entry",
                                   "softirq_exit"};

/// One line of a trace: "  task-12  [001] d.h1.  71.000345: softirq_entry: vec=3 [action=NET_RX]".
struct Line {
  unsigned cpu = 0;
  std::uint64_t at_ns = 0;  ///< to the microsecond
  std::string_view event, rest;
};

bool parse(std::string_view text, Line& line) {
  for (const std::string_view event : kEvents) {
    const std::size_t at = text.find(": " + std::string(event) + ": ");
    if (at == std::string_view::npos) continue;
    line.event = event;
    line.rest = text.substr(at + event.size() + 4);
    const std::size_t time = text.rfind(' ', at - 1) + 1;
    char* dot = nullptr;
    const std::string digits(text.substr(time, at - time));
    const std::uint64_t seconds = std::strtoull(digits.c_str(), &dot, 10);
    line.at_ns = seconds * 1'000'000'000 + std::strtoull(dot + 1, nullptr, 10) * 1000;
    const std::size_t cpu = text.rfind('[', time);
    line.cpu = static_cast<unsigned>(std::strtoul(text.data() + cpu + 1, nullptr, 10));
    return true;
  }
  return false;
}

/// What of a CPU has begun and not ended.
struct Open {
  std::uint64_t softirq_ns = 0, hardirq_ns = 0, inside_ns = 0;
  unsigned long vector = 0;
};

}  // namespace

IrqTrace::IrqTrace() {
  char place[] = "/tmp/optipod-trace-XXXXXX";
  if (::mkdtemp(place) == nullptr) throw std::runtime_error("mkdtemp");
  mount_ = place;
  if (::mount("tracefs", place, "tracefs", 0, nullptr) != 0) {
    const int cause = errno;
    ::rmdir(place);
    throw std::runtime_error(std::string("mounting tracefs: ") + std::strerror(cause));
  }
  instance_ = mount_ + "/instances/optipod-test-" + std::to_string(::getpid());
  if (::mkdir(instance_.c_str(), 0700) != 0) throw std::runtime_error("mkdir " + instance_);
  write("trace_clock", "mono");
  write("buffer_size_kb", "8192");
  for (const char* event : kEvents) write(std::string("events/irq/") + event + "/enable", "1");
}

IrqTrace::~IrqTrace() {
  ::rmdir(instance_.c_str());
  ::umount(mount_.c_str());
  ::rmdir(mount_.c_str());
}

void IrqTrace::write(const std::string& file, const std::string& text) const {
  write_file(instance_ + "/" + file, text);
}

IrqTrace::Times IrqTrace::between(std::uint64_t from_ns, std::uint64_t to_ns) const {
  write("tracing_on", "0");
  std::istringstream lines(read_file(instance_ + "/trace"));
  Times times;
  std::map<unsigned, Open> cpus;
  std::string text;
  while (std::getline(lines, text)) {
    unsigned long kept = 0, written = 0;
    if (std::sscanf(text.c_str(), "# entries-in-buffer/entries-written: %lu/%lu", &kept,
                    &written) == 2 &&
        kept != written)
      throw std::runtime_error("the trace is longer than its buffer");
    Line line;
    if (text.starts_with('#') || !parse(text, line)) continue;
    Open& open = cpus[line.cpu];
    const bool counts = line.at_ns >= from_ns && line.at_ns <= to_ns;
    const unsigned long vector = std::strtoul(line.rest.data() + 4, nullptr, 10);  // "vec=3 …"
    if (line.event == "softirq_entry") {
      open.softirq_ns = line.at_ns;
      open.inside_ns = 0;
      open.vector = vector;
    } else if (line.event == "irq_handler_entry") {
      open.hardirq_ns = line.at_ns;
    } else if (line.event == "irq_handler_exit" && open.hardirq_ns != 0) {
      const std::uint64_t took = line.at_ns - std::exchange(open.hardirq_ns, 0);
      open.inside_ns += took;
      if (!counts) continue;
      times.hardirq_ns += took;
      ++times.hardirqs;
    } else if (line.event == "softirq_exit" && open.softirq_ns != 0 && open.vector == vector) {
      const std::uint64_t took = line.at_ns - std::exchange(open.softirq_ns, 0);
      if (!counts || took < open.inside_ns || vector >= std::size(times.softirqs)) continue;
      times.softirq_ns[vector] += took - open.inside_ns;
      ++times.softirqs[vector];
    }
  }
  return times;
}

}  // namespace optipod::agent::test
