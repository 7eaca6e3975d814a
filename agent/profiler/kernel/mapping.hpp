// SPDX-License-Identifier: Apache-2.0
//
// A mappable eBPF array as memory. Reading it needs no system call and no capability.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <utility>

#include <tl/expected.hpp>

namespace optipod::agent::kernel {

/// `count` values of type T, mapped shared. The map itself stays alive as long as the mapping does.
template <typename T>
class Mapping {
 public:
  static tl::expected<Mapping, std::string> open(int map_fd, std::size_t count, bool writable) {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const std::size_t bytes = (count * sizeof(T) + page - 1) / page * page;
    void* memory = ::mmap(nullptr, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED,
                          map_fd, 0);
    if (memory == MAP_FAILED)
      return tl::unexpected(std::string("mapping an eBPF array: ") + std::strerror(errno));
    Mapping mapping;
    mapping.values_ = {static_cast<T*>(memory), count};
    mapping.bytes_ = bytes;
    return mapping;
  }
  Mapping() = default;
  Mapping(Mapping&& other) noexcept { swap(other); }
  Mapping& operator=(Mapping&& other) noexcept {
    Mapping moved(std::move(other));
    swap(moved);
    return *this;
  }
  ~Mapping() {
    if (values_.data() != nullptr) ::munmap(static_cast<void*>(values_.data()), bytes_);
  }

  [[nodiscard]] std::span<T> values() const { return values_; }

 private:
  void swap(Mapping& other) noexcept {
    std::swap(values_, other.values_);
    std::swap(bytes_, other.bytes_);
  }
  std::span<T> values_;
  std::size_t bytes_ = 0;
};

/// Loads one word that the kernel writes: never torn, never invented by the compiler.
template <typename T>
[[nodiscard]] T load_word(const T& word) {
  return __atomic_load_n(&word, __ATOMIC_RELAXED);
}

}  // namespace optipod::agent::kernel
