// SPDX-License-Identifier: Apache-2.0
// Files of procfs and cgroupfs, lists of CPUs, mounts, locks.
#include "agent/profiler/cgroup_root.hpp"
#include "agent/profiler/cpu_list.hpp"
#include "agent/profiler/duty_cycle.hpp"
#include "agent/profiler/parse_stat.hpp"
#include "agent/profiler/text_field.hpp"
#include "tests/agent/profiler/temp_dir.hpp"
#include "tests/support/catch.hpp"

using namespace optipod::agent;
using optipod::test::TempDir;
namespace shm = optipod::shm;

TEST_CASE("cpu.stat") {
  const auto plain = parse_cpu_stat("usage_usec 30\nuser_usec 10\nsystem_usec 20\nnice_usec 1\n");
  REQUIRE(plain.time);
  CHECK(plain.time->usage_ns == 30'000);
  CHECK(plain.time->user_ns == 10'000);
  CHECK(plain.time->system_ns == 20'000);
  CHECK_FALSE(plain.throttling);
  const auto limited = parse_cpu_stat(
      "usage_usec 1\nuser_usec 1\nsystem_usec 0\nnr_periods 7\nnr_throttled 2\nthrottled_usec 9\n"
      "nr_bursts 0\nburst_usec 0\n");
  REQUIRE(limited.throttling);
  CHECK(limited.throttling->periods == 7);
  CHECK(limited.throttling->throttled_periods == 2);
  CHECK(limited.throttling->throttled_ns == 9'000);
  for (const char* bad : {"", "usage_usec", "usage_usec x\nuser_usec 1\nsystem_usec 1\n", "\n\n"}) {
    CHECK_FALSE(parse_cpu_stat(bad).time);
  }
}

TEST_CASE("pressure files") {
  const auto both = parse_pressure(
      "some avg10=0.00 avg60=0.00 avg300=0.00 total=12\nfull avg10=0.00 avg60=0.00 avg300=0.00 "
      "total=5\n");
  REQUIRE(both);
  CHECK(both->waiting_ns == 12'000u);
  CHECK(both->stalled_ns == 5'000);
  const auto irq = parse_pressure("full avg10=0.00 avg60=0.00 avg300=0.00 total=8\n");
  REQUIRE(irq);
  CHECK_FALSE(irq->waiting_ns);
  CHECK(irq->stalled_ns == 8'000);
  CHECK_FALSE(parse_pressure(""));
  CHECK_FALSE(parse_pressure("some avg10=0.00 total=x\n"));
}

TEST_CASE("/proc/stat over some CPUs") {
  const std::string text =
      "cpu  11 22 33 44 55 66 77 88 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\ncpu1 10 20 30 40 50 60 70 80 0 "
      "0\n"
      "intr 5\n";
  const std::vector<unsigned> none, second = {1}, absent = {9};
  const auto all = parse_proc_stat(text, none, 100);
  REQUIRE(all);
  CHECK(all->ns[shm::kUser] == 110'000'000);
  CHECK(all->ns[shm::kSteal] == 880'000'000);
  const auto one = parse_proc_stat(text, second, 100);
  REQUIRE(one);
  CHECK(one->ns[shm::kIdle] == 400'000'000);
  CHECK_FALSE(parse_proc_stat(text, absent, 100));
  CHECK_FALSE(parse_proc_stat("", none, 100));
  CHECK_FALSE(parse_proc_stat("cpu  1 2\n", none, 100));
}

TEST_CASE("meminfo and single numbers") {
  const auto memory = parse_meminfo("MemTotal:  100 kB\nMemFree: 1 kB\nMemAvailable:   40 kB\n");
  REQUIRE(memory);
  CHECK(memory->total_bytes == 102'400);
  CHECK(memory->available_bytes == 40'960);
  CHECK_FALSE(parse_meminfo("MemTotal: 100 kB\n"));
  CHECK(parse_number_file("42\n") == 42u);
  CHECK_FALSE(parse_number_file("max\n"));
  CHECK_FALSE(parse_number_file(""));
}

TEST_CASE("lists of CPUs") {
  CHECK(parse_cpu_list("0-3,6").value() == std::vector<unsigned>{0, 1, 2, 3, 6});
  CHECK(parse_cpu_list("6,1,1-2").value() == std::vector<unsigned>{1, 2, 6});
  CHECK(parse_cpu_list("").value().empty());
  for (const char* bad : {"x", "1,", ",1", "3-1", "1-", "-1", "1 2", "0-99999999", "1,,2"}) {
    INFO(bad);
    CHECK_FALSE(parse_cpu_list(bad));
  }
}

TEST_CASE("the cgroup2 mount") {
  const std::string hybrid =
      "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
      "32 31 0:29 / /sys/fs/cgroup/cpu rw shared:1 - cgroup cgroup rw,cpu\n"
      "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 master:2 - cgroup2 cgroup2 rw\n";
  CHECK(find_cgroup2_mount(hybrid) == "/sys/fs/cgroup/unified");
  CHECK(find_cgroup2_mount("1 0 0:1 / /a\\040b rw - cgroup2 none rw\n") == "/a b");
  CHECK(find_cgroup2_mount("").empty());
  CHECK(find_cgroup2_mount("broken\n - \n").empty());
}

TEST_CASE("the cgroup root, below the mount or in full") {
  const TempDir dir;
  dir.write("a/b/cgroup.procs", "");
  dir.write("cgroup.procs", "");
  for (const std::string& wanted : {std::string("/a/b"), std::string("a/b/"),
                                    std::string("//a/./b"), dir.path("a/b"), dir.path("a/b/")}) {
    INFO(wanted);
    const auto root = resolve_cgroup_root(dir.path(), wanted);
    REQUIRE(root);
    CHECK(root->path == "/a/b");
    CHECK(root->directory() == dir.path("a/b"));
  }
  for (const std::string& wanted : {std::string("/"), std::string(""), dir.path()}) {
    CHECK(resolve_cgroup_root(dir.path(), wanted).value().path == "/");
  }
  CHECK(resolve_cgroup_root(dir.path(), "/../../a/b").value().path == "/a/b");
  CHECK_FALSE(resolve_cgroup_root(dir.path(), "/missing"));
}

TEST_CASE("one agent per root") {
  const TempDir dir;
  const CgroupRoot root{dir.path(), "/"};
  auto first = lock_cgroup_root(root);
  REQUIRE(first);
  const auto second = lock_cgroup_root(root);
  REQUIRE_FALSE(second);
  CHECK(second.error().held);
  CHECK(second.error().message.find(dir.path()) != std::string::npos);
  first->reset();
  CHECK(lock_cgroup_root(root));
  const auto missing = lock_cgroup_root({dir.path(), "/missing"});
  REQUIRE_FALSE(missing);
  CHECK_FALSE(missing.error().held);
}

TEST_CASE("who holds a lock") {
  const std::string locks =
      "1: POSIX  ADVISORY  WRITE 11 00:26:77 0 EOF\n"
      "2: FLOCK  ADVISORY  WRITE 0 00:26:78 0 EOF\n"
      "3: FLOCK  ADVISORY  WRITE 4242 00:26:77 0 EOF\n";
  CHECK(find_lock_holder(locks, 0, 0x26, 77) == "4242");
  CHECK(find_lock_holder(locks, 0, 0x26, 78).empty());
  CHECK(find_lock_holder(locks, 0, 0x26, 79).empty());
  CHECK(find_lock_holder("", 0, 0, 0).empty());
}

TEST_CASE("text fields are cut between characters") {
  char field[8];
  set_text(field, "abc");
  CHECK(std::string(field, 8) == std::string("abc\0\0\0\0\0", 8));
  set_text(field, "abcdef\xc3\xa9");  // é would end behind the field
  CHECK(std::string(field) == "abcdef");
  set_text(field, "abcdefghij");
  CHECK(std::string(field) == "abcdefg");
}

TEST_CASE("load averages and tasks") {
  const auto load = parse_loadavg("0.07 12.50 100.00 3/512 4242\n");
  REQUIRE(load);
  CHECK(load->milli[0] == 70);
  CHECK(load->milli[1] == 12500);
  CHECK(load->milli[2] == 100000);
  for (const char* wrong : {"", "1 2 3", "1.00 2.00", "a.bc 1.00 2.00", "1.0 1.00 1.00"}) {
    INFO(wrong);
    CHECK_FALSE(parse_loadavg(wrong));
  }
  const auto tasks = parse_task_counts("cpu  1 2\nprocesses 9\nprocs_running 3\nprocs_blocked 1\n");
  REQUIRE(tasks);
  CHECK(tasks->runnable == 3);
  CHECK(tasks->blocked == 1);
  CHECK_FALSE(parse_task_counts("procs_running 3\n"));
  CHECK_FALSE(parse_task_counts("procs_running x\nprocs_blocked 1\n"));
}

TEST_CASE("what is dear is done for a while, and then left alone") {
  using namespace std::chrono_literals;
  constexpr DutyCycle cycle{.window = 10s, .period = 60s};
  CHECK(cycle.open(0ms));
  CHECK(cycle.open(9'999ms));
  CHECK_FALSE(cycle.open(10s));
  CHECK_FALSE(cycle.open(59'999ms));
  CHECK(cycle.open(60s));
  CHECK(cycle.open(24h + 5s));
}
