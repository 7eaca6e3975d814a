// SPDX-License-Identifier: Apache-2.0
//
// An API server that says anything: pages and events of JSON, lines in any pieces, Status objects,
// quantities. What comes out lies inside what went in, and pieces do not change the result.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "common/http/message.hpp"
#include "common/kube/json.hpp"
#include "common/kube/lines.hpp"
#include "common/kube/quantity.hpp"

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

bool is_object_inside(std::string_view object, std::string_view whole) {
  return object.data() >= whole.data() &&
         object.data() + object.size() <= whole.data() + whole.size() && object.size() >= 2 &&
         object.front() == '{' && object.back() == '}';
}

void fuzz_page(std::string_view bytes) {
  const Padded page(bytes);
  ApiReader reader;
  std::size_t given = 0;
  const auto read = reader.read_page(page.view(), [&](std::string_view json) {
    require(is_object_inside(json, page.view()));
    return ++given < 100;
  });
  require(!read || (read->objects == given && !read->resource_version.empty()));
}

void fuzz_event(std::string_view bytes) {
  const Padded line(bytes);
  ApiReader reader;
  const auto event = reader.read_event(line.view());
  if (!event) return;
  require(is_object_inside(event->object, line.view()));
  require(event->type == WatchEvent::Type::kError || !event->resource_version.empty());
}

void fuzz_lines(std::string_view bytes) {
  constexpr std::size_t kMax = 32;
  const std::size_t step = bytes.empty() ? 1 : 1 + static_cast<unsigned char>(bytes[0]) % 64;
  const auto split = [&](std::size_t by, std::vector<std::string>& lines) {
    LineSplitter splitter(kMax);
    for (std::size_t at = 0; at < bytes.size(); at += by) {
      const auto result = splitter.feed(bytes.substr(at, by), [&](std::string_view line) {
        require(!line.empty() && line.size() <= kMax && line.find('\n') == std::string_view::npos);
        lines.emplace_back(line);
        return true;
      });
      if (result == LineSplitter::Result::kTooLong) return false;
    }
    return true;
  };
  std::vector<std::string> whole;
  std::vector<std::string> pieces;
  require(split(std::max<std::size_t>(bytes.size(), 1), whole) == split(step, pieces));
  require(whole == pieces);
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
  switch (data[0] % 4) {
    case 0:
      fuzz_page(bytes);
      break;
    case 1:
      fuzz_event(bytes);
      break;
    case 2:
      fuzz_lines(bytes);
      break;
    default:
      fuzz_small(bytes);
  }
  return 0;
}
