// SPDX-License-Identifier: Apache-2.0
// What stands on the screens, at every size, and what never does.
#include "agent/top/layout.hpp"

#include <string>

#include "common/text/utf8.hpp"
#include "tests/agent/top/fabricate.hpp"
#include "tests/support/catch.hpp"

using namespace optipod;
using namespace optipod::top;
using namespace optipod::top::test;

namespace {

std::string screen_text(const Scene& scene, const Ui& ui = {}, const Canvas& canvas = {120, 40}) {
  return plain(draw(scene, ui, canvas));
}

/// A node on which /waiting hurts, and `count` others do not.
std::vector<Sample> samples(std::size_t count = 2) {
  std::vector<shm::ContainerRecord> containers{container(1, "/system.slice/waiting.service")};
  for (std::size_t i = 1; i < count; ++i) {
    containers.push_back(pod(i + 1, "shop", "web-" + std::to_string(i), "nginx"));
  }
  std::vector<Sample> out{sample(1, containers), sample(2, containers)};
  auto& now = out[1].tick;
  now.node.cpu_time.usage_ns = kSecond;
  now.node.cpu.runqueue_wait.sum_ns = 3 * kSecond;
  now.node.cpu.runqueue_wait.bucket[24] = 10;
  now.containers[0].cpu.runqueue_wait.sum_ns = 3 * kSecond;
  now.containers[0].cpu.runqueue_wait.bucket[24] = 10;
  now.agent.feature_count = 2;
  set(now.agent.features[0].name, "block_io");
  set(now.agent.features[0].source, "no tracepoint");
  set(now.agent.features[1].name, "runqueue_wait");
  set(now.agent.features[1].source, "tp_btf");
  now.agent.features[1].enabled = 1;
  return out;
}

bool harmless(const std::string& text) {
  for (const char c : text) {
    if (c != '\n' && (static_cast<unsigned char>(c) < 0x20 || c == 0x7F)) return false;
  }
  return text.find("\xC2\x9B") == std::string::npos;  // CSI as one character
}

}  // namespace

TEST_CASE("the first screen says how the node is and what hurts") {
  const std::string shown = screen_text(scene(samples()));
  CHECK(has(shown, "node-1  Linux 6.18  2 CPUs"));
  CHECK(has(shown, "agent live"));
  CHECK(has(shown, "used   50%"));
  CHECK(has(shown, "waiting  1.50/CPU"));
  CHECK(has(shown, "wait p95 16.4ms"));
  CHECK(has(shown, " !/system.slice/waiting.service"));
  CHECK(has(shown, "shop/web-1/nginx"));
  CHECK(has(shown, "(everything else)"));
  CHECK(has(shown, "▼hurt"));
  CHECK(has(shown, "LIVE 22:13:22Z"));
  CHECK(shown.find("waiting.service") < shown.find("web-1"));
}

TEST_CASE("every screen has the terminal's size, whatever that is") {
  const auto made = samples(60);
  Ui ui;
  ui.selected = Identity{1, 0};
  ui.message = "something";
  for (const Screen screen :
       {Screen::kPods, Screen::kNode, Screen::kDisks, Screen::kAgent, Screen::kZoom,
        Screen::kColumns, Screen::kHelp, Screen::kNeighbours}) {
    ui.screen = screen;
    Scene scene = test::scene(made, ui);
    scene.footer = "one\ntwo";
    for (const std::size_t columns : {1U, 20U, 79U, 80U, 81U, 100U, 120U, 200U, 500U}) {
      for (const std::size_t rows : {1U, 2U, 10U, 24U, 25U, 60U, 200U}) {
        for (const Charset charset : {Charset::kUtf8, Charset::kAscii}) {
          const Page page = draw(scene, ui, {columns, rows, charset});
          REQUIRE(page.size() == rows);
          for (const Line& line : page) REQUIRE(line.columns() <= columns);
          const std::string shown = plain(page);
          REQUIRE(optipod::text::utf8_valid(shown));
          REQUIRE(harmless(shown));
          if (charset == Charset::kAscii) {
            REQUIRE(shown.find_first_not_of(
                        "\n !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`"
                        "abcdefghijklmnopqrstuvwxyz{|}~") == std::string::npos);
          }
        }
      }
    }
  }
}

TEST_CASE("the node's screen says why packets were dropped, the agent's what was left out") {
  auto made = samples();
  auto& was = made[0].tick;
  auto& is = made[1].tick;
  Ui ui;
  ui.screen = Screen::kNode;
  CHECK_FALSE(has(screen_text(scene(made, ui), ui, {120, 120}), "packets dropped"));
  for (auto* tick : {&was, &is}) tick->node.valid |= shm::kValidPacketDrops;
  CHECK(has(screen_text(scene(made, ui), ui, {120, 120}), "   none"));
  is.node.drop_count = 2;
  set(is.node.drops[0].reason, "no_socket");
  set(is.node.drops[1].reason, "netfilter\033drop");
  is.node.drops[0].packets = 3;
  is.node.drops[1].packets = 40;
  was.node.drop_count = 1;
  was.node.drops[0].packets = 1;
  const std::string shown = screen_text(scene(made, ui), ui, {120, 120});
  CHECK(has(shown, " packets dropped, last 1 s"));
  CHECK(has(shown, "2.0/s  no_socket"));
  CHECK(has(shown, "40/s  netfilter?drop"));
  CHECK(shown.find("netfilter?drop") < shown.find("no_socket"));

  is.agent.container_cuts[shm::kOverLimit] = 7;
  is.agent.container_cuts[shm::kShortLived] = 13;
  ui.screen = Screen::kAgent;
  const auto line = [&](const char* label) {
    const std::string page = screen_text(scene(made, ui), ui, {120, 120});
    const auto begin = page.find(label);
    REQUIRE(begin != std::string::npos);
    return page.substr(begin, page.find('\n', begin) - begin);
  };
  CHECK(has(line("no room for"), "7 "));
  CHECK_FALSE(has(line("too short-lived"), "13"));  // this kernel does not tell
  is.node.valid |= shm::kValidShortLived;
  CHECK(has(line("too short-lived"), "13"));
}

TEST_CASE("a terminal that is too small is told so") {
  CHECK(
      has(screen_text(scene(samples()), {}, {60, 20}), "optipod-top needs 80x24, here are 60x20"));
  CHECK(has(screen_text(scene(samples()), {}, {80, 24}), "waiting.service"));
}

TEST_CASE("rows are bounded, and what is not shown is counted") {
  auto made = samples(50);
  made[1].tick.node.containers_cut = 3;
  const std::string shown = screen_text(scene(made), {}, {80, 24});
  CHECK(has(shown, "of 50"));
  CHECK(has(shown, "3 more beyond --max-containers"));
  CHECK(has(shown, " to the right"));
  Ui ui;
  ui.selected = identity_of(made[1].tick.containers.back());
  CHECK(has(screen_text(scene(made, ui), ui, {80, 24}), "\n> "));  // its page is the one shown
}

TEST_CASE("a filter says what it left out") {
  Ui ui;
  ui.query.filter = "web";
  const std::string shown = screen_text(scene(samples(5), ui), ui);
  CHECK(has(shown, "4 of 4 found by 'web' among 5"));
  CHECK_FALSE(has(shown, "waiting.service"));
  ui.typing = "web";
  CHECK(has(screen_text(scene(samples(5), ui), ui), "filter: web_"));
}

TEST_CASE("a zoom has the container's signals, their meaning and its histograms") {
  Ui ui;
  ui.screen = Screen::kZoom;
  ui.selected = Identity{1, 0};
  const std::string shown = screen_text(scene(samples(), ui), ui, {120, 60});
  CHECK(has(shown, "/system.slice/waiting.service"));
  CHECK(has(shown, "runnable tasks without a CPU"));
  CHECK(has(shown, "wait for a CPU, last 1 s"));
  CHECK(has(shown, "10: p50 12.6ms  p95 16.4ms  p99 16.7ms"));
  CHECK(has(shown, "16.8ms ██████████████████"));
  ui.selected = Identity{2, 0};
  CHECK(has(screen_text(scene(samples(), ui), ui, {120, 60}),
            "shop/web-1  container nginx  burstable"));
  ui.selected = Identity{99, 0};
  CHECK(has(screen_text(scene(samples(), ui), ui), "not there at this time"));
}

TEST_CASE("neighbours have a screen, and a place in the zoom") {
  auto made = samples(2);
  Ui ui;
  ui.screen = Screen::kNeighbours;
  CHECK(has(screen_text(scene(made), ui), "not known"));
  for (auto& s : made) s.tick.node.valid |= shm::kValidNeighbours;
  CHECK(has(screen_text(scene(made), ui), "nobody preempted anybody"));
  shm::NeighbourRecord pair{};
  pair.aggressor_cgroup_id = 2;
  pair.victim_cgroup_id = 1;
  pair.preemptions = 30;
  pair.taken_ns = kSecond / 2;
  made[1].tick.neighbours = {pair};
  const std::string shown = screen_text(scene(made), ui);
  CHECK(has(shown, "shop/web-1/nginx"));
  CHECK(has(shown, "         30       0.50"));
  ui.screen = Screen::kZoom;
  ui.selected = Identity{1, 0};
  const std::string zoomed = screen_text(scene(made, ui), ui, {120, 70});
  const std::size_t takes = zoomed.find("who takes its CPU");
  REQUIRE(takes != std::string::npos);
  CHECK(zoomed.find("shop/web-1/nginx", takes) < zoomed.find("whose CPU it takes"));
  CHECK(zoomed.find("nobody", takes) > zoomed.find("whose CPU it takes"));
}

TEST_CASE("the agent's screen says what it costs and what the kernel lacks, that first") {
  Ui ui;
  ui.screen = Screen::kAgent;
  auto made = samples();
  made[1].tick.agent.cpu_user_ns = kSecond / 4;
  made[1].tick.agent.program_count = 1;
  set(made[1].tick.agent.programs[0].name, "switch_btf");
  std::string shown = screen_text(scene(made, ui), ui);
  CHECK(has(shown, "25%   of one CPU"));
  CHECK(has(shown, "OFF  block_io"));
  CHECK(has(shown, "because: no tracepoint"));
  CHECK(shown.find("OFF  block_io") < shown.find("on   runqueue_wait"));
  CHECK(has(shown, "not timed"));
  CHECK(has(shown, "dropped                  –"));
  made[1].tick.node.valid |= shm::kValidDropped | shm::kValidMissedRuns;
  made[1].tick.agent.dropped[shm::kDroppedStalls] = 2;
  made[1].tick.agent.dropped[shm::kDroppedTasks] = 3;
  made[1].tick.agent.missed_runs[0] = 7;
  shown = screen_text(scene(made, ui), ui);
  CHECK(has(shown, "dropped                  5"));
  CHECK(has(shown, "not seen                 7"));
  made[0].tick.agent.program_count = 1;
  made[0].tick.agent.programs[0] = made[1].tick.agent.programs[0];
  made[1].tick.agent.programs[0].runs = 1000;
  made[1].tick.agent.programs[0].run_ns = 170'000;
  shown = screen_text(scene(made, ui), ui);
  CHECK(has(shown, "1.0k       170"));
}

TEST_CASE("a missing, dead or hung agent is said plainly, with what to do") {
  Scene none;
  none.agent.detail =
      "no segment at /run/x: is optipod-agent running? Start it, or name its file with --segment";
  const std::string shown = screen_text(none, {}, {80, 24});
  CHECK(has(shown, "no data: no segment at /run/x"));
  CHECK(has(shown, "--segment"));  // wrapped, not cut
  CHECK(has(shown, "agent UNKNOWN"));
  Scene scene = test::scene(samples());
  scene.agent.age_seconds = 12;
  scene.agent.writer = shm::WriterState::kHung;
  CHECK(has(screen_text(scene), "agent HUNG for 12.0s"));
  scene.agent.writer = shm::WriterState::kGone;
  CHECK(has(screen_text(scene), "agent GONE since 12.0s"));
  scene.agent.writer = shm::WriterState::kClosed;
  CHECK(has(screen_text(scene), "agent STOPPED 12.0s ago"));
  scene.agent.attach = shm::AttachState::kAbiMismatch;
  scene.agent.detail = "its ABI is 2.0";
  CHECK(has(screen_text(scene), "no newer data: its ABI is 2.0"));
}

TEST_CASE("a paused view and a replay say where in time they are") {
  Scene scene = test::scene(samples());
  Ui ui;
  ui.following = false;
  scene.behind_seconds = 42;
  CHECK(has(screen_text(scene, ui), "PAUSED 22:13:22Z, 42.0s back"));
  scene.replay = true;
  CHECK(has(screen_text(scene, ui), "REPLAY STOPPED 2/2 2023-11-14 22:13:22Z"));
  CHECK_FALSE(has(screen_text(scene, ui), "agent"));
}

TEST_CASE("nothing of a foreign text reaches the terminal but characters that stand still") {
  auto made = samples(1);
  const std::string evil =
      "/e\033[2Jv\xC2\x9B"
      "1m\ni\tl\x7F\xFF\xE2\x80\xAE\xCC\x81 ü 世";
  for (auto& s : made) {
    set(s.tick.containers[0].container, evil);
    set(s.tick.node.node_name, evil);
    set(s.tick.agent.version, evil);
  }
  set(made[1].tick.agent.features[0].source, evil);
  Ui ui;
  ui.selected = Identity{1, 0};
  for (const Screen screen : {Screen::kPods, Screen::kZoom, Screen::kAgent}) {
    ui.screen = screen;
    Scene scene = test::scene(made, ui);
    scene.agent.attach = shm::AttachState::kRefused;
    scene.agent.detail = scene.footer = scene.notice = evil;
    const std::string shown = screen_text(scene, ui);
    CHECK(harmless(shown));
    CHECK(optipod::text::utf8_valid(shown));
    CHECK(has(shown, "/e?[2Jv?1m?i?l"));
  }
  CHECK(printable(evil, Charset::kUtf8) == "/e?[2Jv?1m?i?l???? ü 世");
  CHECK(printable("ü", Charset::kAscii) == "?");
}

TEST_CASE("texts are cut and padded by columns") {
  CHECK(width("a世µ") == 4);
  CHECK(cut_right("abcdef", 4, Charset::kUtf8) == "abc…");
  CHECK(cut_left("abcdef", 4, Charset::kUtf8) == "…def");
  CHECK(cut_left("abcdef", 4, Charset::kAscii) == "~def");
  CHECK(cut_right("世世", 3, Charset::kUtf8) == "世…");
  CHECK(cut_right("世世", 2, Charset::kUtf8) == "…");
  CHECK(cut_right("abc", 0, Charset::kUtf8).empty());
  CHECK(pad_left("µ", 3) == "  µ");
  CHECK(pad_right("世", 3) == "世 ");
}

TEST_CASE("numbers are short and carry their unit") {
  const auto say = [](double value, Unit unit) { return show(value, unit, Charset::kUtf8); };
  CHECK(say(0, Unit::kCount) == "0");
  CHECK(say(12345, Unit::kCount) == "12.3k");
  CHECK(say(0.25, Unit::kPerSecond) == "0.2");
  CHECK(say(1536, Unit::kBytes) == "1.5KB");
  CHECK(say(0.0000123, Unit::kSeconds) == "12µs");
  CHECK(show(0.0000123, Unit::kSeconds, Charset::kAscii) == "12us");
  CHECK(say(0.0034, Unit::kSeconds) == "3.4ms");
  CHECK(say(1.25, Unit::kSeconds) == "1.2s");
  CHECK(say(7300, Unit::kSeconds) == "2h");
  CHECK(say(0.005, Unit::kShare) == "0.5%");
  CHECK(say(0, Unit::kShare) == "0%");
  CHECK(show(std::nullopt, Unit::kShare, Charset::kUtf8) == "–");
  for (double value = 1e-9; value < 1e15; value *= 1.7) {
    for (const Unit unit : {Unit::kTasks, Unit::kPerSecond, Unit::kCount, Unit::kBytes}) {
      CHECK(width(say(value, unit)) <= 6);
    }
    if (value < 1e6) CHECK(width(say(value, Unit::kSeconds)) <= 6);
  }
}

TEST_CASE("sparklines show zero, nothing and the highest apart") {
  const std::vector<std::optional<double>> values{0.0, std::nullopt, 0.5, 1.0, 7.0};
  CHECK(sparkline(values, 1, 7, Charset::kUtf8) == "  ▁ ▅██" + std::string());
  CHECK(sparkline(values, 1, 3, Charset::kAscii) == "=##");
  CHECK(sparkline(values, 0, 5, Charset::kAscii) == "_ ___");
  CHECK(bar(0.5, 4, Charset::kAscii) == "##  ");
  CHECK(bar(0.001, 4, Charset::kUtf8) == "▏   ");
  CHECK(bar(1, 2, Charset::kUtf8) == "██");
  CHECK(bar(0, 2, Charset::kUtf8) == "  ");
}
