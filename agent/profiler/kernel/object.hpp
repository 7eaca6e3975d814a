// SPDX-License-Identifier: Apache-2.0
//
// What the skeletons have in common.
#pragma once

#include <bpf/libbpf.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "agent/profiler/kernel/programs.hpp"

namespace optipod::agent::kernel {

template <auto Destroy>
struct DestroyWith {
  template <typename T>
  void operator()(T* object) const {
    Destroy(object);
  }
};
/// A skeleton that unloads its programs and maps when it goes.
template <typename Skeleton, auto Destroy>
using Object = std::unique_ptr<Skeleton, DestroyWith<Destroy>>;

/// "<what>: <errno in words>"; libbpf leaves the cause in errno.
inline std::string error(const char* what) {
  return std::string(what) + ": " + std::strerror(errno);
}

/// The constants of slot.bpf.h, which every object has.
template <typename Rodata>
void set_layout(Rodata& config, const Layout& layout) {
  config.slot_count = layout.slots;
  config.table_bits = layout.table_bits;
  config.root_id = layout.root_id;
  config.root_level = layout.root_level;
}

inline std::vector<LoadedProgram> loaded_programs(const bpf_object* object) {
  std::vector<LoadedProgram> result;
  bpf_program* program = nullptr;
  while ((program = bpf_object__next_program(object, program)) != nullptr)
    if (const int fd = bpf_program__fd(program); fd >= 0)
      result.push_back({bpf_program__name(program), fd});
  return result;
}

}  // namespace optipod::agent::kernel
