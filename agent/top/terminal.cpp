// SPDX-License-Identifier: Apache-2.0
#include "agent/top/terminal.hpp"

#include <langinfo.h>
#include <poll.h>
#include <unistd.h>

// It defines macros of common words; nothing of ours may stand after it that it could change.
#define NCURSES_NOMACROS
#include <curses.h>

#include <clocale>
#include <cstdlib>
#include <cstring>

#include "agent/top/ui.hpp"

namespace optipod::top {
namespace {

enum Pair : short { kNoPair, kGreen, kYellow, kRed, kCyan };

attr_t attribute(Style style) {
  const auto colour = [](Pair pair) {
    return has_colors() && COLOR_PAIRS > kCyan ? static_cast<attr_t>(COLOR_PAIR(pair)) : A_NORMAL;
  };
  switch (style) {
    case Style::kPlain:
      return A_NORMAL;
    case Style::kBold:
      return A_BOLD;
    case Style::kDim:
      return A_DIM;
    case Style::kTitle:
      return A_REVERSE;
    case Style::kSelected:
      return A_REVERSE | A_BOLD;
    case Style::kHeading:
      return A_UNDERLINE;
    case Style::kAccent:
      return colour(kCyan);
    case Style::kGood:
      return colour(kGreen);
    case Style::kWarn:
      return A_BOLD | colour(kYellow);
    case Style::kBad:
      return A_BOLD | A_REVERSE | colour(kRed);
  }
  return A_NORMAL;
}

void set_up_colours() {
  start_color();
  use_default_colors();
  init_pair(kGreen, COLOR_GREEN, -1);
  init_pair(kYellow, COLOR_YELLOW, -1);
  init_pair(kRed, COLOR_RED, -1);
  init_pair(kCyan, COLOR_CYAN, -1);
}

int key_of(int code) {
  switch (code) {
    case ERR:
      return Terminal::kNoKey;
    case KEY_RESIZE:
      return Terminal::kResized;
    case KEY_UP:
      return kKeyUp;
    case KEY_DOWN:
      return kKeyDown;
    case KEY_LEFT:
      return kKeyLeft;
    case KEY_RIGHT:
      return kKeyRight;
    case KEY_PPAGE:
      return kKeyPageUp;
    case KEY_NPAGE:
      return kKeyPageDown;
    case KEY_HOME:
      return kKeyHome;
    case KEY_END:
      return kKeyEnd;
    case KEY_ENTER:
    case '\r':
    case '\n':
      return kKeyEnter;
    case KEY_BACKSPACE:
    case 0x7F:
    case 0x08:
      return kKeyBackspace;
    case 0x1B:
      return kKeyEscape;
    default:
      return code < 0x80 ? code : Terminal::kNoKey;
  }
}

}  // namespace

Charset charset_of_locale() {
  std::setlocale(LC_CTYPE, "");
  return std::strcmp(nl_langinfo(CODESET), "UTF-8") == 0 ? Charset::kUtf8 : Charset::kAscii;
}

bool Terminal::usable() {
  const char* term = std::getenv("TERM");
  return isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0 && term != nullptr &&
         *term != '\0' && std::strcmp(term, "dumb") != 0;
}

tl::expected<std::unique_ptr<Terminal>, std::string> Terminal::open(Charset charset, bool colour) {
  SCREEN* const screen = newterm(nullptr, stdout, stdin);
  if (screen == nullptr) {
    return tl::unexpected(std::string("the terminal '") + std::getenv("TERM") +
                          "' is not known here: set TERM=xterm, or use --once");
  }
  std::unique_ptr<Terminal> terminal(new Terminal(charset, screen));
  if (tigetstr("cup") == nullptr) {
    return tl::unexpected(std::string("the terminal '") + std::getenv("TERM") +
                          "' cannot move its cursor: use --once, or TERM=dumb for plain frames");
  }
  cbreak();
  noecho();
  nonl();
  set_escdelay(25);
  keypad(stdscr, TRUE);
  nodelay(stdscr, TRUE);
  curs_set(0);
  if (colour && has_colors()) set_up_colours();
  return terminal;
}

Terminal::~Terminal() {
  endwin();
  delscreen(static_cast<SCREEN*>(screen_));
}

Canvas Terminal::canvas() const {
  Canvas canvas;
  canvas.columns = static_cast<std::size_t>(getmaxx(stdscr));
  canvas.rows = static_cast<std::size_t>(getmaxy(stdscr));
  canvas.charset = charset_;
  return canvas;
}

void Terminal::show(const Page& page) {
  werase(stdscr);
  for (std::size_t y = 0; y < page.size(); ++y) {
    wmove(stdscr, static_cast<int>(y), 0);
    for (const Span& span : page[y].spans) {
      wattrset(stdscr, static_cast<int>(attribute(span.style)));
      waddnstr(stdscr, span.text.data(), static_cast<int>(span.text.size()));
    }
  }
  wrefresh(stdscr);
}

namespace {

/// Terminals move their text at a resize in ways of their own: all of it is drawn anew.
int seen(int code) {
  if (code == KEY_RESIZE) clearok(stdscr, TRUE);
  return key_of(code);
}

}  // namespace

int Terminal::key(std::chrono::milliseconds timeout) {
  // What it has already read comes first: poll() would not see that.
  if (const int code = wgetch(stdscr); code != ERR) return seen(code);
  pollfd input{STDIN_FILENO, POLLIN, 0};
  if (poll(&input, 1, static_cast<int>(timeout.count())) > 0 &&
      (input.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) {
    return kHungUp;
  }
  return seen(wgetch(stdscr));
}

}  // namespace optipod::top
