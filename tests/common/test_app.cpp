// SPDX-License-Identifier: Apache-2.0
// Runs app_probe, a real program, and looks at what it prints and how it ends.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/app/duration.hpp"
#include "common/app/logging.hpp"
#include "tests/support/catch.hpp"

namespace optipod::app {
namespace {

using std::chrono::milliseconds;

std::string read_all(int fd) {
  std::string out;
  std::array<char, 4096> block{};
  ssize_t n = 0;
  while ((n = read(fd, block.data(), block.size())) > 0) {
    out.append(block.data(), static_cast<std::size_t>(n));
  }
  close(fd);
  return out;
}

/// A running probe, with its output in pipes.
class Probe {
 public:
  explicit Probe(std::vector<std::string> args, const std::vector<std::string>& environment = {}) {
    std::vector<char*> argv;
    args.insert(args.begin(), OPTIPOD_PROBE);
    for (auto& arg : args) argv.push_back(arg.data());
    argv.push_back(nullptr);
    std::vector<std::string> variables = environment;
    variables.emplace_back("PATH=/usr/bin:/bin");
    for (const char* keep : {"ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"}) {
      if (const char* value = getenv(keep))
        variables.push_back(std::string(keep).append("=").append(value));
    }
    std::vector<char*> envp;
    for (auto& variable : variables) envp.push_back(variable.data());
    envp.push_back(nullptr);
    int out[2];
    int err[2];
    REQUIRE(pipe2(out, O_CLOEXEC) == 0);
    REQUIRE(pipe2(err, O_CLOEXEC) == 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_adddup2(&actions, err[1], 2);
    REQUIRE(posix_spawn(&pid_, OPTIPOD_PROBE, &actions, nullptr, argv.data(), envp.data()) == 0);
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    close(err[1]);
    out_ = out[0];
    err_ = err[0];
  }
  ~Probe() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      finish();
    }
  }
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  void signal(int number) const { kill(pid_, number); }
  /// Blocks until the probe has printed its first line.
  void wait_for_line() {
    char c = 0;
    while (c != '\n' && read(out_, &c, 1) == 1) output.push_back(c);
  }
  /// Exit status, or -signal.
  int finish() {
    output += read_all(out_);
    errors += read_all(err_);
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  std::string output, errors;

 private:
  pid_t pid_ = -1;
  int out_ = -1, err_ = -1;
};

struct Ended {
  int status;
  std::string output, errors;
};
Ended run_probe(std::vector<std::string> args, const std::vector<std::string>& environment = {}) {
  Probe probe(std::move(args), environment);
  const int status = probe.finish();
  return {status, probe.output, probe.errors};
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// A file that is gone at the end of the test.
struct TemporaryFile {
  explicit TemporaryFile(const std::string& text) {
    const int fd = mkstemp(path.data());
    REQUIRE(fd >= 0);
    REQUIRE(write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    close(fd);
  }
  ~TemporaryFile() { std::remove(path.c_str()); }
  std::string path = "/tmp/optipod-test-XXXXXX";
};

TEST_CASE("durations are read") {
  const std::pair<const char*, long> durations[] = {
      {"0s", 0},         {"500ms", 500},    {"1s", 1'000},      {"1.5s", 1'500}, {"2m", 120'000},
      {"1h", 3'600'000}, {"1m30s", 90'000}, {"1d", 86'400'000}, {".5s", 500}};
  for (const auto& [text, ms] : durations) {
    INFO(text);
    const auto value = parse_duration(text);
    REQUIRE(value.has_value());
    CHECK(value->count() == ms);
  }
}

TEST_CASE("what is not a duration gets an example") {
  for (const char* text : {"", "5", "s", "-1s", "+1s", "1 s", "1x", "1S", "1s5", "nan", "1e3s",
                           "99999999999999999999d", "1us", ".", "infs"}) {
    INFO(text);
    const auto value = parse_duration(text);
    REQUIRE_FALSE(value.has_value());
    CHECK(contains(value.error(), "500ms"));
  }
  CHECK(contains(parse_duration("5").error(), "no unit"));
}

TEST_CASE("durations are written so that they are read back") {
  for (const long ms : {0L, 1L, 999L, 1'000L, 1'500L, 90'000L, 86'400'000L, 123'456'789L}) {
    CHECK(parse_duration(format_duration(milliseconds(ms))).value() == milliseconds(ms));
  }
  CHECK(format_duration(milliseconds(90'000)) == "1m30s");
}

TEST_CASE("JSON escaping") {
  std::string out;
  append_json_escaped(out, std::string("a\"b\\c\nd\x01\xFF\xC3\xA4\0e", 13));
  CHECK(nlohmann::json::parse("\"" + out + "\"").get<std::string>() ==
        std::string("a\"b\\c\nd\x01\xEF\xBF\xBD\xC3\xA4\0e", 15));
}

TEST_CASE("help shows units, defaults and variables; version says which") {
  const auto help = run_probe({"--help"});
  CHECK(help.status == 0);
  INFO(help.output);
  for (const char* part : {"--poll-interval", "DURATION", "1s", "OPTIPOD_POLL_INTERVAL", "--config",
                           "--log-level", "--log-format", "PROBE_OWN", "A program for tests."}) {
    CHECK(contains(help.output, part));
  }
  const auto version = run_probe({"--version"});
  CHECK(version.status == 0);
  CHECK(version.output.rfind("optipod-probe ", 0) == 0);
}

TEST_CASE("a wrong flag, value or file is a usage error that says so") {
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"--nonsense"}, "--nonsense"},
      {{"--poll-interval", "5"}, "no unit"},
      {{"--log-level", "loud"}, "loud"},
      {{"--log-format", "xml"}, "xml"},
      {{"--config", "/nonexistent/file"}, "/nonexistent/file"},
  };
  for (const auto& [args, part] : cases) {
    const auto end = run_probe(args);
    INFO(end.errors);
    CHECK(end.status == 2);
    CHECK(contains(end.errors, part));
    CHECK(contains(end.errors, "optipod-probe: "));
    CHECK(end.output.empty());
  }
  const TemporaryFile unknown("colour = \"red\"\n");
  const auto end = run_probe({"--config", unknown.path});
  CHECK(end.status == 2);
  CHECK(contains(end.errors, "colour"));
  CHECK(run_probe({}, {"OPTIPOD_POLL_INTERVAL=soon"}).status == 2);
}

TEST_CASE("flag before environment before file before default") {
  const TemporaryFile file("poll-interval = \"2s\"\nflag = true\nown = \"file\"\n");
  CHECK(contains(run_probe({}).output, "interval=1000 own=default flag=0"));
  CHECK(contains(run_probe({"--config", file.path}).output, "interval=2000 own=file flag=1"));
  CHECK(contains(run_probe({}, {"OPTIPOD_CONFIG=" + file.path}).output, "interval=2000"));
  CHECK(run_probe({}, {"OPTIPOD_CONFIG=/nonexistent/file"}).status == 2);
  CHECK(contains(run_probe({"--config", file.path}, {"OPTIPOD_POLL_INTERVAL=3s"}).output,
                 "interval=3000"));
  CHECK(contains(
      run_probe({"--config", file.path, "--poll-interval=4s"}, {"OPTIPOD_POLL_INTERVAL=3s"}).output,
      "interval=4000"));
  CHECK(contains(run_probe({}, {"PROBE_OWN=mine", "OPTIPOD_OWN=not"}).output, "own=mine"));
  CHECK(contains(run_probe({}, {"OPTIPOD_FLAG=true"}).output, "flag=1"));
  CHECK(contains(run_probe({}, {"OPTIPOD_TARGET=a,b"}).output, "target=a target=b"));
  CHECK(contains(run_probe({"--target=a", "--target=b"}).output, "target=a target=b"));
}

TEST_CASE("log lines are for people or JSON") {
  const auto text = run_probe({});
  CHECK(contains(text.errors, "optipod-probe: said \"hello\""));
  CHECK_FALSE(contains(text.errors, "detail"));
  CHECK(contains(run_probe({"--log-level=debug"}).errors, "detail"));
  CHECK_FALSE(contains(run_probe({"--log-level=error"}).errors, "hello"));
  const auto json = run_probe({"--log-format=json"});
  REQUIRE(contains(json.errors, "\n"));
  const auto line = nlohmann::json::parse(json.errors.substr(0, json.errors.find('\n')));
  CHECK(line.at("message") == "said \"hello\"\n\xEF\xBF\xBD\x01");
  CHECK(line.at("level") == "info");
  CHECK(line.at("program") == "optipod-probe");
  CHECK(line.at("time").get<std::string>().back() == 'Z');
}

TEST_CASE("SIGTERM and SIGINT stop it cleanly, at once") {
  for (const int number : {SIGTERM, SIGINT}) {
    for (const char* mode : {"wait", "sleep"}) {
      Probe probe({"--mode", mode});
      probe.wait_for_line();
      if (std::string(mode) == "sleep") probe.wait_for_line();
      probe.signal(number);
      CHECK(probe.finish() == 0);
      if (std::string(mode) == "sleep") CHECK(contains(probe.output, "stopped=0\nstopped=1\n"));
    }
  }
  CHECK(run_probe({"--mode", "request"}).status == 0);
}

TEST_CASE("a body's status, exceptions and SIGPIPE") {
  CHECK(run_probe({"--mode", "busy"}).status == 3);
  const auto thrown = run_probe({"--mode", "throw"});
  CHECK(thrown.status == 1);
  CHECK(contains(thrown.errors, "it broke"));
  CHECK(run_probe({"--mode", "throw-int"}).status == 1);
  CHECK(run_probe({"--mode", "pipe"}).status == 0);
}

}  // namespace
}  // namespace optipod::app
