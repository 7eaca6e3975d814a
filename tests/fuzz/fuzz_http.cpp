// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as HTTP, without a network: heads, chunked bodies (in one piece and byte by byte: the
// same result), gzip, URLs and query strings.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "common/http/accept.hpp"
#include "common/http/chunked.hpp"
#include "common/http/gzip.hpp"
#include "common/http/head.hpp"
#include "common/http/message.hpp"
#include "common/http/passwords.hpp"
#include "common/http/percent.hpp"
#include "common/http/url.hpp"

namespace {

using namespace optipod::http;

void require(bool holds) {
  if (!holds) std::abort();
}

bool inside(std::string_view part, std::string_view whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

void fuzz_head(std::string_view bytes) {
  const std::size_t length = head_length(bytes);
  if (length == std::string_view::npos) return;
  // A copy of exactly that size, so that reading past it is seen.
  const std::string head_bytes(bytes.substr(0, length));
  Head head;
  for (const bool request : {true, false}) {
    const auto parsed =
        request ? parse_request_head(head_bytes, head) : parse_response_head(head_bytes, head);
    if (!parsed) continue;
    require(!(head.chunked && head.content_length));
    require(inside(head.method, head_bytes) && inside(head.target, head_bytes));
    for (const Field& field : head.fields) {
      require(inside(field.name, head_bytes) && inside(field.value, head_bytes));
      require(header_is_safe(field.name, field.value));
    }
    (void)accepts_gzip(head.field("Accept-Encoding"));
    (void)accepted_format(head.field("Accept"));
    (void)list_has_token(head.field("Expect"), "100-continue");
  }
}

void fuzz_chunks(std::string_view bytes) {
  constexpr std::size_t kMax = 4096;
  using Result = ChunkedDecoder::Result;
  std::string whole;
  ChunkedDecoder at_once(kMax);
  std::size_t used = 0;
  const Result result =
      at_once.feed(bytes, used, [&](std::string_view piece) { whole.append(piece); });
  require(used <= bytes.size() && whole.size() <= kMax);

  std::string pieces;
  ChunkedDecoder by_byte(kMax);
  Result last = Result::kNeedMore;
  std::size_t total = 0;
  for (std::size_t i = 0; i < bytes.size() && last == Result::kNeedMore; ++i) {
    std::size_t one = 0;
    last = by_byte.feed(bytes.substr(i, 1), one,
                        [&](std::string_view piece) { pieces.append(piece); });
    total += one;
  }
  require(last == result && pieces == whole && total == used);
}

void fuzz_gzip(std::string_view bytes) {
  constexpr std::size_t kMax = 64 * 1024;
  const auto plain = gzip_decompress(bytes, kMax);
  require(!plain || plain->size() <= kMax);
  std::string packed;
  require(gzip_compress(bytes, packed));
  const auto back = gzip_decompress(packed, bytes.size());
  require(back.has_value() && *back == bytes);
}

void fuzz_text(std::string_view bytes) {
  const auto url = parse_url(std::string(bytes));
  require(!url || (!url->host.empty() && url->port != 0 && url->target.starts_with('/')));
  (void)parse_host_port(std::string(bytes));
  (void)accepts_gzip(bytes);
  (void)accepted_format(bytes);
  if (const auto credentials = basic_credentials(bytes)) {
    require(credentials->user.find(':') == std::string::npos);
    require(credentials->password.find('\0') == std::string::npos);
  }
  (void)problem_of_hash(bytes);
  Request request;
  request.query = bytes;
  for (const auto& value : request.params("a")) require(value.size() <= bytes.size());
  std::string decoded;
  if (percent_decode(bytes, false, decoded)) {
    std::string again;
    const bool has_nul = decoded.find('\0') != std::string::npos;
    require(has_nul || (percent_decode(percent_encode(decoded), false, again) && again == decoded));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      fuzz_head(bytes);
      break;
    case 1:
      fuzz_chunks(bytes);
      break;
    case 2:
      fuzz_gzip(bytes);
      break;
    default:
      fuzz_text(bytes);
  }
  return 0;
}
