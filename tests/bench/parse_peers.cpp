// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/parse_peers.hpp"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>

#include <fmt/format.h>

namespace optipod::bench {

GoParsers::GoParsers(const std::string& source_dir)
    : dir_((std::filesystem::temp_directory_path() / "optipod-bench-XXXXXX").string()) {
  if (mkdtemp(dir_.data()) == nullptr) throw std::runtime_error("no temporary directory");
  const std::string build = fmt::format(
      "cd '{}' && GOFLAGS=-buildvcs=false go build -o '{}/peer' . >&2", source_dir, dir_);
  if (std::system("command -v go >/dev/null 2>&1") != 0) {
    missing_ = "Go is not installed";
  } else if (std::system(build.c_str()) != 0) {
    missing_ = "peers/go_parse does not build; see its go.mod for the Go that it needs";
  }
}

GoParsers::~GoParsers() {
  std::error_code ignored;
  std::filesystem::remove_all(dir_, ignored);
}

std::map<std::string, GoParsers::Speed> GoParsers::parse(
    const std::vector<std::string>& scrapes) const {
  std::map<std::string, Speed> speeds;
  if (!missing_.empty()) return speeds;
  std::string command = fmt::format("GOMAXPROCS=1 '{}/peer' 2", dir_);
  for (std::size_t i = 0; i < scrapes.size(); ++i) {
    const std::string path = fmt::format("{}/page{}", dir_, i);
    std::ofstream(path, std::ios::binary) << scrapes[i];
    command += fmt::format(" '{}'", path);
  }
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  if (!pipe) throw std::runtime_error("no shell for the Go parsers");
  char name[64];
  Speed speed;
  // NOLINTNEXTLINE(cert-err34-c): written by our own peer
  while (std::fscanf(pipe.get(), "%63s %lf %zu", name, &speed.gigabytes_per_second,
                     &speed.samples) == 3) {
    speeds[name] = speed;
  }
  if (speeds.size() != 3) throw std::runtime_error("the Go parsers did not read the page");
  return speeds;
}

}  // namespace optipod::bench
