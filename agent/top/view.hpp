// SPDX-License-Identifier: Apache-2.0
//
// The two ways to show a source: on a terminal with keys, or as a stream of text.
#pragma once

#include <chrono>
#include <string>

#include "agent/top/page.hpp"
#include "agent/top/source.hpp"
#include "agent/top/ui.hpp"
#include "common/app/app.hpp"

namespace optipod::top {

struct ViewOptions {
  Ui ui;  ///< what the command line chose of columns, order and filter
  Charset charset = Charset::kAscii;
  bool colour = true;
  std::chrono::milliseconds interval{1000};
  std::string footer;
};

enum class Format { kFrames, kJson, kCsv };

struct StreamOptions {
  Format format = Format::kFrames;
  bool once = false;          ///< the newest sample only
  std::size_t columns = 120;  ///< of frames
  std::size_t rows = 0;       ///< of frames, at most; 0: as many as there are
};

/// Until q, or a stop. An exit status.
int interact(app::Stop& stop, Source& source, const ViewOptions& options);

/// To standard output, until a stop, the end of a recording, or the end of whoever reads. An exit
/// status; with `once` a failure unless there was a live agent (or a recording) to show.
int stream(app::Stop& stop, Source& source, const ViewOptions& view, const StreamOptions& options);

/// The scene that `ui` looks at.
Scene scene_of(Source& source, const Ui& ui, const std::string& footer);

}  // namespace optipod::top
