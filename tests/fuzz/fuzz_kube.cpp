// SPDX-License-Identifier: Apache-2.0
//
// An API server that says anything: pages and events of JSON and protobuf, lines and frames in any
// pieces, Status objects, quantities. What comes out lies inside what went in, and pieces do not
// change the result.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "common/http/message.hpp"
#include "common/kube/json.hpp"
#include "common/kube/protobuf.hpp"
#include "common/kube/quantity.hpp"
#include "common/kube/splitters.hpp"

namespace {

using namespace optipod::kube;

void require(bool holds) {
  if (!holds) std::abort();
}

/// A copy whose padding ends where the memory does, so that reading past it is seen.
struct Padded {
  explicit Padded(std::string_view text) : bytes(text), size(text.size()) {
    bytes.append(optipod::http::kBodyPadding, '}');
    bytes.shrink_to_fit();
  }
  [[nodiscard]] std::string_view view() const { return std::string_view(bytes).substr(0, size); }
  std::string bytes;
  std::size_t size;
};

bool is_inside(std::string_view part, std::string_view whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

bool is_object_inside(std::string_view object, std::string_view whole) {
  return is_inside(object, whole) && object.size() >= 2 && object.front() == '{' &&
         object.back() == '}';
}

void fuzz_page(std::string_view bytes) {
  const Padded page(bytes);
  JsonReader reader;
  std::size_t given = 0;
  const auto read = reader.read_page(page.view(), [&](std::string_view json) {
    require(is_object_inside(json, page.view()));
    return ++given < 100;
  });
  require(!read || (read->objects == given && !read->resource_version.empty()));
}

void fuzz_event(std::string_view bytes) {
  const Padded line(bytes);
  JsonReader reader;
  const auto event = reader.read_event(line.view());
  if (!event) return;
  require(is_object_inside(event->object, line.view()));
  require(event->type == WatchEvent::Type::kError || !event->resource_version.empty());
}

/// Protobuf needs no padding: a copy that ends where the memory does. `magic`: with the envelope's
/// beginning, which is not easily found by chance.
std::vector<char> unpadded(std::string_view bytes, bool magic) {
  std::vector<char> out;
  if (magic) out = {'k', '8', 's', '\0'};
  out.insert(out.end(), bytes.begin(), bytes.end());
  out.shrink_to_fit();
  return out;
}

void fuzz_protobuf(std::string_view bytes) {
  const std::vector<char> copy = unpadded(bytes, true);
  const std::string_view body(copy.data(), copy.size());
  std::size_t given = 0;
  const auto read = read_protobuf_page(body, [&](std::string_view object) {
    require(is_inside(object, body));
    return ++given < 100;
  });
  require(!read || (read->objects == given && !read->resource_version.empty()));
  ApiStatus status;
  (void)parse_status(body, status);
  require(status.code < 1000);

  const std::vector<char> frame = unpadded(bytes, false);
  const std::string_view whole(frame.data(), frame.size());
  const auto event = read_protobuf_event(whole);
  if (!event) return;
  require(is_inside(event->object, whole));
  require(event->type == WatchEvent::Type::kError || !event->resource_version.empty());
}

/// All pieces that `Splitter` makes of bytes that come `step` at a time; false: one is too long.
template <class Splitter>
bool split(std::string_view bytes, std::size_t step, std::vector<std::string>& pieces) {
  constexpr std::size_t kMax = 32;
  Splitter splitter(kMax);
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    const Split result = splitter.feed(bytes.substr(at, step), [&](std::string_view piece) {
      require(piece.size() <= kMax);
      pieces.emplace_back(piece);
      return true;
    });
    if (result == Split::kTooLong) return false;
  }
  return true;
}

template <class Splitter>
std::vector<std::string> fuzz_splitter(std::string_view bytes) {
  const std::size_t step = bytes.empty() ? 1 : 1 + static_cast<unsigned char>(bytes[0]) % 64;
  std::vector<std::string> whole;
  std::vector<std::string> pieces;
  require(split<Splitter>(bytes, std::max<std::size_t>(bytes.size(), 1), whole) ==
          split<Splitter>(bytes, step, pieces));
  require(whole == pieces);
  return whole;
}

void fuzz_splitters(std::string_view bytes) {
  for (const std::string& line : fuzz_splitter<LineSplitter>(bytes)) {
    require(!line.empty() && line.find('\n') == std::string::npos);
  }
  (void)fuzz_splitter<FrameSplitter>(bytes);
}

void fuzz_small(std::string_view bytes) {
  ApiStatus status;
  (void)parse_status(bytes, status);
  require(status.code < 1000);
  const auto pod = parse_pod_binding(bytes);
  require(!pod || !pod->uid.empty());
  (void)parse_quantity(bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 5) {
    case 0:
      fuzz_page(bytes);
      break;
    case 1:
      fuzz_event(bytes);
      break;
    case 2:
      fuzz_splitters(bytes);
      break;
    case 3:
      fuzz_protobuf(bytes);
      break;
    default:
      fuzz_small(bytes);
  }
  return 0;
}
