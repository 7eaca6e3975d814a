// SPDX-License-Identifier: Apache-2.0
//
// A recording that says anything. The first byte chooses: 0 the file as it is; 1 the rest is what
// one sample unpacks to, behind heads and checksums that are right, so that the fuzzer need not
// guess them.
#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "agent/top/recording.hpp"
#include "shm/layout.hpp"
#include "tests/agent/top/memory_bytes.hpp"

namespace {

using namespace optipod;
using namespace optipod::top;

void require(bool holds) {
  if (!holds) std::abort();
}

template <class Head>
void append_head(std::string& out, Head head) {
  head.crc = crc_of(head);
  out.append(reinterpret_cast<const char*>(&head), sizeof head);
}

std::string wrapped(std::string_view plain) {
  uLongf stored = compressBound(static_cast<uLong>(plain.size()));
  std::string data(stored, '\0');
  require(compress2(reinterpret_cast<Bytef*>(data.data()), &stored,
                    reinterpret_cast<const Bytef*>(plain.data()), static_cast<uLong>(plain.size()),
                    Z_BEST_SPEED) == Z_OK);
  data.resize(stored);
  FileHead file{};
  std::memcpy(file.magic, "OPTIREC", sizeof file.magic);
  file.format = kFormat;
  file.byte_order = shm::kByteOrder;
  file.abi_major = shm::kAbiMajor;
  file.abi_minor = shm::kAbiMinor;
  file.abi_hash = shm::kAbiHash;
  file.head_bytes = sizeof file;
  SampleHead head{};
  std::memcpy(head.magic, "SMPL", sizeof head.magic);
  head.stored_bytes = static_cast<std::uint32_t>(stored);
  head.plain_bytes = static_cast<std::uint32_t>(plain.size());
  head.data_crc = static_cast<std::uint32_t>(
      crc32(0, reinterpret_cast<const Bytef*>(data.data()), static_cast<uInt>(stored)));
  std::string out;
  append_head(out, file);
  append_head(out, head);
  return out + data;
}

template <std::size_t N>
void require_ended(const char (&text)[N]) {
  require(std::memchr(text, 0, N) != nullptr);
}

void check(const Sample& sample) {
  require_ended(sample.tick.node.node_name);
  require(sample.tick.agent.program_count <= shm::AgentRecord::kMaxPrograms);
  require(sample.tick.agent.feature_count <= shm::AgentRecord::kMaxFeatures);
  require(sample.tick.containers.size() <= kMaxRecords);
  for (const auto& container : sample.tick.containers) require_ended(container.pod);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  auto reader = RecordingReader::parse(
      std::make_unique<test::MemoryBytes>(data[0] % 2 == 1 ? wrapped(rest) : std::string(rest)),
      "fuzz");
  if (!reader) {
    require(!reader.error().empty());
    return 0;
  }
  require(data[0] % 2 == 0 || reader->samples() == 1);
  for (std::uint64_t i = 0; i < reader->samples(); ++i) {
    const auto sample = reader->read(i);
    require(sample || !sample.error().empty());
    if (sample) check(*sample);
  }
  return 0;
}
