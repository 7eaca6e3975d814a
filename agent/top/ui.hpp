// SPDX-License-Identifier: Apache-2.0
//
// What the keys have chosen, and what a key changes. Pure: no terminal, no clock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/top/model.hpp"

namespace optipod::top {

enum class Screen { kPods, kNode, kDisks, kAgent, kNeighbours, kZoom, kColumns, kHelp };

/// Keys that are no character; those are their ASCII code.
enum Key : int {
  kKeyUp = 1000,
  kKeyDown,
  kKeyLeft,
  kKeyRight,
  kKeyPageUp,
  kKeyPageDown,
  kKeyHome,
  kKeyEnd,
  kKeyEnter,
  kKeyEscape,
  kKeyBackspace,
};

struct Ui {
  Ui();

  Screen screen = Screen::kPods;
  Screen back = Screen::kPods;  ///< where Esc leads from zoom, columns and help
  Query query;
  std::vector<bool> columns;          ///< container signals that are columns
  std::size_t first_column = 0;       ///< of those, the leftmost shown
  std::optional<Identity> selected;   ///< row
  std::size_t scroll = 0;             ///< lines, on screens that are read
  std::size_t chosen = 0;             ///< line of the column chooser
  std::optional<std::string> typing;  ///< the filter while it is typed
  bool following = true;              ///< live: the newest sample; replay: playing
  std::uint64_t position = 0;         ///< sample shown
  bool quit = false;
  std::string message;  ///< answer to the last key, for the bottom line
};

/// What is there to be chosen from.
struct Stage {
  bool replay = false;
  std::uint64_t begin = 0, end = 0;  ///< samples
  std::vector<Identity> rows;        ///< as arranged
  std::size_t page = 10;             ///< rows on a screen
};

void handle(Ui& ui, int key, const Stage& stage);

/// After new samples came or old ones went: the position follows or stays inside.
void settle(Ui& ui, const Stage& stage);

/// "a,b,c" or "all": which columns to show. The error names the key that is unknown and all there
/// are.
std::optional<std::string> choose_columns(Ui& ui, const std::string& keys);
/// Likewise the column to sort by; "name" is one, "-KEY" turns the order round.
std::optional<std::string> choose_sort(Ui& ui, const std::string& key);

}  // namespace optipod::top
