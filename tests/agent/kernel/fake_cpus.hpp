// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace optipod::agent::test {

/// Stands for /sys/devices/system of another machine.
class FakeCpus {
 public:
  FakeCpus() {
    std::string pattern = std::filesystem::temp_directory_path() / "optipod-cpus-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary directory");
    path_ = pattern;
  }
  ~FakeCpus() { std::filesystem::remove_all(path_); }
  FakeCpus(const FakeCpus&) = delete;
  FakeCpus& operator=(const FakeCpus&) = delete;

  /// caches: level and the CPUs that share it. node < 0: a kernel without NUMA.
  void add(int cpu, const std::vector<std::pair<int, std::string>>& caches, int node) const {
    const auto place = path_ / ("cpu/cpu" + std::to_string(cpu));
    for (std::size_t i = 0; i < caches.size(); ++i) {
      const auto cache = place / ("cache/index" + std::to_string(i));
      std::filesystem::create_directories(cache);
      std::ofstream(cache / "level") << caches[i].first << '\n';
      std::ofstream(cache / "shared_cpu_list") << caches[i].second << '\n';
    }
    std::filesystem::create_directories(place);
    if (node < 0) return;
    const auto memory = path_ / ("node/node" + std::to_string(node));
    std::filesystem::create_directories(memory);
    std::filesystem::create_directory_symlink(memory, place / memory.filename());
  }
  [[nodiscard]] std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace optipod::agent::test
