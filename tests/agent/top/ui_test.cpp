// SPDX-License-Identifier: Apache-2.0
// What keys do.
#include "agent/top/ui.hpp"

#include <string_view>

#include "tests/agent/top/fabricate.hpp"
#include "tests/support/catch.hpp"

using namespace optipod::top;
using namespace optipod::top::test;

namespace {

Stage stage_of(std::uint64_t begin, std::uint64_t end, std::size_t rows = 5) {
  Stage stage;
  stage.begin = begin;
  stage.end = end;
  stage.page = 2;
  for (std::uint64_t i = 0; i < rows; ++i) stage.rows.push_back({i, 0});
  return stage;
}

void type(Ui& ui, std::string_view keys, const Stage& stage = stage_of(0, 10)) {
  for (const char key : keys) handle(ui, key, stage);
}

}  // namespace

TEST_CASE("rows are chosen, kept while they move, and zoomed into") {
  Ui ui;
  Stage stage = stage_of(0, 10);
  handle(ui, kKeyDown, stage);
  CHECK(ui.selected == Identity{0, 0});
  handle(ui, kKeyDown, stage);
  handle(ui, kKeyPageDown, stage);
  CHECK(ui.selected == Identity{3, 0});
  std::swap(stage.rows[3], stage.rows[0]);  // sorted anew
  handle(ui, kKeyDown, stage);
  CHECK(ui.selected == Identity{1, 0});
  handle(ui, kKeyEnd, stage);
  CHECK(ui.selected == Identity{4, 0});
  handle(ui, kKeyDown, stage);
  CHECK(ui.selected == Identity{4, 0});
  handle(ui, kKeyEnter, stage);
  CHECK(ui.screen == Screen::kZoom);
  handle(ui, '?', stage);
  CHECK(ui.screen == Screen::kHelp);
  handle(ui, kKeyEscape, stage);
  CHECK(ui.screen == Screen::kZoom);
  handle(ui, kKeyEscape, stage);
  CHECK(ui.screen == Screen::kPods);
  handle(ui, kKeyEscape, stage);
  CHECK_FALSE(ui.selected.has_value());
  handle(ui, kKeyEnter, stage);  // nothing chosen: the first
  CHECK(ui.screen == Screen::kZoom);
  CHECK(ui.selected == stage.rows[0]);
}

TEST_CASE("a filter works while it is typed, and takes every key") {
  Ui ui;
  type(ui, "/wqb");
  CHECK(ui.query.filter == "wqb");
  CHECK_FALSE(ui.quit);
  handle(ui, kKeyBackspace, stage_of(0, 1));
  CHECK(ui.query.filter == "wq");
  handle(ui, kKeyEnter, stage_of(0, 1));
  CHECK_FALSE(ui.typing.has_value());
  CHECK(ui.query.filter == "wq");
  type(ui, "/x");
  handle(ui, kKeyEscape, stage_of(0, 1));
  CHECK(ui.query.filter.empty());
  type(ui, "/" + std::string(500, 'a'));
  CHECK(ui.query.filter.size() == 100);
}

TEST_CASE("live, time stands still when one steps, and goes on with space") {
  Ui ui;
  settle(ui, stage_of(0, 10));
  CHECK(ui.position == 9);
  type(ui, "TT");
  CHECK(ui.position == 7);
  CHECK_FALSE(ui.following);
  settle(ui, stage_of(0, 20));  // news does not move it
  CHECK(ui.position == 7);
  settle(ui, stage_of(12, 30));  // but what is gone cannot be shown
  CHECK(ui.position == 12);
  handle(ui, 'T', stage_of(12, 30));
  CHECK(ui.position == 12);
  CHECK(ui.message == "this is the oldest sample kept");
  handle(ui, 't', stage_of(12, 30));
  CHECK(ui.position == 13);
  handle(ui, ' ', stage_of(12, 30));
  CHECK(ui.following);
  CHECK(ui.position == 29);
  handle(ui, '{', stage_of(12, 30));
  CHECK(ui.position == 12);
  handle(ui, '}', stage_of(12, 30));
  CHECK(ui.position == 29);
  handle(ui, 'g', stage_of(12, 30));
  CHECK(ui.position == 12);
  handle(ui, 'G', stage_of(12, 30));
  CHECK(ui.following);
  CHECK(ui.position == 29);
}

TEST_CASE("a replay stops and plays, and begins again at its end") {
  Ui ui;
  Stage stage = stage_of(0, 10);
  stage.replay = true;
  handle(ui, 'G', stage);
  CHECK(ui.position == 9);
  CHECK_FALSE(ui.following);
  handle(ui, ' ', stage);
  CHECK(ui.following);
  CHECK(ui.position == 0);
  handle(ui, 't', stage);
  CHECK(ui.position == 1);
  CHECK_FALSE(ui.following);
}

TEST_CASE("nothing moves where there is nothing") {
  for (const bool replay : {false, true}) {
    Ui ui;
    Stage stage;
    stage.replay = replay;
    for (int key = 0; key < 1100; ++key) {
      if (key == 'q') continue;
      handle(ui, key, stage);
      REQUIRE(ui.position == 0);
      if (key == '/') handle(ui, kKeyEscape, stage);
    }
    CHECK_FALSE(ui.quit);
    if (ui.typing) handle(ui, kKeyEscape, stage);
    handle(ui, 'q', stage);
    CHECK(ui.quit);
  }
}

TEST_CASE("the order walks over the columns shown, and turns round") {
  Ui ui;
  CHECK_FALSE(choose_columns(ui, "cpus_used,memory_bytes").has_value());
  CHECK_FALSE(choose_sort(ui, "cpus_used").has_value());
  handle(ui, '.', stage_of(0, 1));
  CHECK(ui.query.sort == signal("memory_bytes"));
  handle(ui, '.', stage_of(0, 1));
  CHECK(ui.query.sort == Query::kByName);
  CHECK_FALSE(ui.query.descending);
  handle(ui, ',', stage_of(0, 1));
  CHECK(ui.query.sort == signal("memory_bytes"));
  CHECK(ui.query.descending);
  handle(ui, 'S', stage_of(0, 1));
  CHECK_FALSE(ui.query.descending);
}

TEST_CASE("columns are chosen by key and on their screen") {
  Ui ui;
  const auto wrong = choose_columns(ui, "cpus_used,nonsense");
  REQUIRE(wrong.has_value());
  CHECK(wrong->find("'nonsense'; there are: hurt") != std::string::npos);
  CHECK(choose_sort(ui, "-nonsense").has_value());
  CHECK_FALSE(choose_sort(ui, "-name").has_value());
  CHECK(ui.query.descending);
  CHECK_FALSE(choose_columns(ui, "all").has_value());
  type(ui, "c");
  CHECK(ui.screen == Screen::kColumns);
  handle(ui, kKeyDown, stage_of(0, 1));
  handle(ui, ' ', stage_of(0, 1));
  CHECK_FALSE(ui.columns[1]);
  CHECK(ui.columns[0]);
  CHECK(ui.following);  // space meant the column
  handle(ui, kKeyEnter, stage_of(0, 1));
  CHECK(ui.screen == Screen::kPods);
}
