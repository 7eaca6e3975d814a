// SPDX-License-Identifier: Apache-2.0
#include "agent/top/ui.hpp"

#include <algorithm>
#include <sstream>

#include "agent/top/signals.hpp"

namespace optipod::top {
namespace {

constexpr std::size_t kLongestFilter = 100;
constexpr std::uint64_t kLongStep = 60;

void type_filter(Ui& ui, int key) {
  std::string& text = *ui.typing;
  if (key == kKeyEnter) {
    ui.typing.reset();
  } else if (key == kKeyEscape) {
    ui.query.filter.clear();
    ui.typing.reset();
  } else if (key == kKeyBackspace) {
    if (!text.empty()) text.pop_back();
    ui.query.filter = text;
  } else if (key >= 0x20 && key < 0x7F && text.size() < kLongestFilter) {
    text.push_back(static_cast<char>(key));
    ui.query.filter = text;  // the rows follow as one types
  }
}

/// Moves `by` samples; stepping stops the time.
void step(Ui& ui, const Stage& stage, bool forward, std::uint64_t by) {
  ui.following = false;
  if (stage.end == stage.begin) return;
  const std::uint64_t last = stage.end - 1;
  if (forward) {
    if (ui.position >= last) ui.message = "this is the newest sample";
    ui.position = std::min(last, ui.position + by);
  } else {
    if (ui.position <= stage.begin) ui.message = "this is the oldest sample kept";
    ui.position = ui.position - std::min(by, ui.position - stage.begin);
  }
}

bool step_key(Ui& ui, int key, const Stage& stage) {
  constexpr auto kEverything = static_cast<std::uint64_t>(1) << 62;
  switch (key) {
    case ' ':
      ui.following = !ui.following;
      // A replay that stands at its end plays again from the start.
      if (ui.following && stage.replay && ui.position + 1 >= stage.end) ui.position = stage.begin;
      return true;
    case 't':
      return step(ui, stage, true, 1), true;
    case 'T':
      return step(ui, stage, false, 1), true;
    case '}':
      return step(ui, stage, true, kLongStep), true;
    case '{':
      return step(ui, stage, false, kLongStep), true;
    case 'g':
      return step(ui, stage, false, kEverything), ui.message.clear(), true;
    case 'G':
      step(ui, stage, true, kEverything);
      ui.message.clear();
      ui.following = !stage.replay;
      return true;
    default:
      return false;
  }
}

void go(Ui& ui, Screen screen) {
  const bool leads_back =
      screen == Screen::kZoom || screen == Screen::kColumns || screen == Screen::kHelp;
  if (leads_back && ui.screen != screen) ui.back = ui.screen == Screen::kHelp ? ui.back : ui.screen;
  ui.screen = screen;
  ui.scroll = 0;
}

bool screen_key(Ui& ui, int key) {
  switch (key) {
    case '1':
      return go(ui, Screen::kPods), true;
    case '2':
      return go(ui, Screen::kNode), true;
    case '3':
      return go(ui, Screen::kDisks), true;
    case '4':
      return go(ui, Screen::kAgent), true;
    case '5':
      return go(ui, Screen::kNeighbours), true;
    case '?':
    case 'h':
      return go(ui, Screen::kHelp), true;
    case 'c':
      return go(ui, Screen::kColumns), true;
    case 'q':
      return ui.quit = true;
    case kKeyEscape:
      if (ui.screen == Screen::kPods) {
        ui.query.filter.clear();
        ui.selected.reset();
      } else if (ui.screen == Screen::kHelp || ui.screen == Screen::kZoom ||
                 ui.screen == Screen::kColumns) {
        const Screen back = ui.back;
        ui.back = Screen::kPods;
        go(ui, back == ui.screen ? Screen::kPods : back);
      } else {
        go(ui, Screen::kPods);
      }
      return true;
    default:
      return false;
  }
}

/// Signed steps for keys that move a line; 0 for others.
long move_of(int key, std::size_t page) {
  switch (key) {
    case kKeyUp:
    case 'k':
      return -1;
    case kKeyDown:
    case 'j':
      return 1;
    case kKeyPageUp:
      return -static_cast<long>(page);
    case kKeyPageDown:
      return static_cast<long>(page);
    case kKeyHome:
      return -(1L << 30);
    case kKeyEnd:
      return 1L << 30;
    default:
      return 0;
  }
}

std::size_t moved(std::size_t from, long by, std::size_t count) {
  const long last = count == 0 ? 0 : static_cast<long>(count) - 1;
  return static_cast<std::size_t>(std::clamp(static_cast<long>(from) + by, 0L, last));
}

void move_selection(Ui& ui, long by, const Stage& stage) {
  if (stage.rows.empty()) return;
  const auto at = ui.selected ? std::find(stage.rows.begin(), stage.rows.end(), *ui.selected)
                              : stage.rows.end();
  if (at == stage.rows.end()) {
    ui.selected = by == 1L << 30 ? stage.rows.back() : stage.rows.front();
    return;
  }
  ui.selected =
      stage.rows[moved(static_cast<std::size_t>(at - stage.rows.begin()), by, stage.rows.size())];
}

/// The sort column walks over the columns shown, the name before the first.
void move_sort(Ui& ui, bool right) {
  std::vector<std::size_t> choices{Query::kByName};
  for (std::size_t i = 0; i < ui.columns.size(); ++i) {
    if (ui.columns[i]) choices.push_back(i);
  }
  const auto at = std::find(choices.begin(), choices.end(), ui.query.sort);
  const auto here = at == choices.end() ? 0 : static_cast<std::size_t>(at - choices.begin());
  ui.query.sort = choices[(here + (right ? 1 : choices.size() - 1)) % choices.size()];
  ui.query.descending = ui.query.sort != Query::kByName;
}

std::size_t count_shown(const Ui& ui) {
  return static_cast<std::size_t>(std::count(ui.columns.begin(), ui.columns.end(), true));
}

void table_key(Ui& ui, int key, const Stage& stage) {
  if (const long by = move_of(key, stage.page); by != 0) return move_selection(ui, by, stage);
  switch (key) {
    case '/':
      ui.typing = ui.query.filter;
      break;
    case ',':
    case '<':
      move_sort(ui, false);
      break;
    case '.':
    case '>':
      move_sort(ui, true);
      break;
    case 'S':
    case 's':
      ui.query.descending = !ui.query.descending;
      break;
    case kKeyLeft:
      if (ui.first_column > 0) --ui.first_column;
      break;
    case kKeyRight:
      if (ui.first_column + 1 < count_shown(ui)) ++ui.first_column;
      break;
    case kKeyEnter:
      if (!ui.selected ||
          std::find(stage.rows.begin(), stage.rows.end(), *ui.selected) == stage.rows.end()) {
        move_selection(ui, 0, stage);
      }
      if (ui.selected) go(ui, Screen::kZoom);
      break;
    default:
      break;
  }
}

void chooser_key(Ui& ui, int key) {
  if (const long by = move_of(key, 10); by != 0) {
    ui.chosen = moved(ui.chosen, by, ui.columns.size());
  } else if (key == ' ' || key == 'x') {
    ui.columns[ui.chosen] = !ui.columns[ui.chosen];
    ui.first_column = 0;
  } else if (key == kKeyEnter) {
    go(ui, ui.back);
  }
}

std::string known_keys() {
  std::string out;
  for (const auto& signal : container_signals())
    out += std::string(out.empty() ? "" : ", ") + signal.key;
  return out;
}

}  // namespace

Ui::Ui() {
  for (const auto& signal : container_signals()) columns.push_back(signal.shown);
}

void handle(Ui& ui, int key, const Stage& stage) {
  ui.message.clear();
  if (ui.typing) return type_filter(ui, key);
  if (screen_key(ui, key)) return;
  if (ui.screen == Screen::kColumns) return chooser_key(ui, key);
  if (step_key(ui, key, stage)) return settle(ui, stage);
  if (ui.screen == Screen::kPods) return table_key(ui, key, stage);
  const long by = move_of(key, stage.page);
  ui.scroll = moved(ui.scroll, by, static_cast<std::size_t>(1) << 20);  // the layout knows the end
}

void settle(Ui& ui, const Stage& stage) {
  if (stage.end == stage.begin) return;
  if (ui.following && !stage.replay) ui.position = stage.end - 1;
  ui.position = std::clamp(ui.position, stage.begin, stage.end - 1);
}

std::optional<std::string> choose_columns(Ui& ui, const std::string& keys) {
  if (keys == "all") {
    ui.columns.assign(ui.columns.size(), true);
    return std::nullopt;
  }
  std::vector<bool> chosen(ui.columns.size());
  std::istringstream words(keys);
  for (std::string key; std::getline(words, key, ',');) {
    const auto index = find_signal(container_signals(), key);
    if (!index) return "there is no column '" + key + "'; there are: " + known_keys();
    chosen[*index] = true;
  }
  ui.columns = std::move(chosen);
  return std::nullopt;
}

std::optional<std::string> choose_sort(Ui& ui, const std::string& text) {
  const bool turned = text.starts_with('-');
  const std::string key = text.substr(turned ? 1 : 0);
  const auto index = find_signal(container_signals(), key);
  if (!index && key != "name") {
    return "cannot sort by '" + key + "'; there are: name, " + known_keys();
  }
  ui.query.sort = index.value_or(Query::kByName);
  ui.query.descending = index.has_value() != turned;
  return std::nullopt;
}

}  // namespace optipod::top
