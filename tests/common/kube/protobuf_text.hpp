// SPDX-License-Identifier: Apache-2.0
//
// Kubernetes' protobuf as an API server writes it: what support.hpp has as JSON.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/kube/messages.hpp"
#include "common/text/protobuf.hpp"

namespace optipod::kube::test::protobuf {

inline std::string field(std::uint32_t number, std::string_view bytes) {
  std::string out;
  text::protobuf::add_bytes(out, number, bytes);
  return out;
}
inline std::string field(std::uint32_t number, std::uint64_t value) {
  std::string out;
  text::protobuf::add_integer(out, number, value);
  return out;
}

/// runtime.Unknown behind its magic.
inline std::string envelope(std::string_view kind, std::string_view message) {
  return std::string("k8s\0", 4) + field(1, field(1, "v1") + field(2, kind)) + field(2, message) +
         field(3, "") + field(4, "");
}
inline std::string pod(const std::string& name, const std::string& version) {
  return field(1, field(1, name) + field(5, "u-" + name) + field(6, version)) + field(2, "");
}
inline std::string list(const std::vector<std::string>& items, const std::string& version,
                        const std::string& next = "") {
  std::string out = field(1, field(1, "") + field(2, version) + field(3, next));
  for (const std::string& item : items) out += field(2, item);
  return envelope("PodList", out);
}
inline std::string status(unsigned code, const std::string& reason, const std::string& message) {
  return envelope("Status", field(1, "") + field(2, "Failure") + field(3, message) +
                                field(4, reason) + field(6, std::uint64_t{code}));
}
/// A watch's frame, without its length.
inline std::string bare_event(const std::string& type, const std::string& object) {
  return field(1, type) + field(2, field(1, object));
}
inline std::string frame(const std::string& bytes) {
  std::string out;
  for (const int shift : {24, 16, 8, 0}) out += static_cast<char>(bytes.size() >> shift);
  return out + bytes;
}
inline std::string event(const std::string& type, const std::string& pod) {
  return frame(bare_event(type, envelope("Pod", pod)));
}
inline std::string error(unsigned code, const std::string& reason, const std::string& message) {
  return frame(bare_event("ERROR", status(code, reason, message)));
}

/// A reply with a whole body, and the head of a watch's.
inline std::string sized(const std::string& body, const std::string& status = "200 OK") {
  return "HTTP/1.1 " + status + "\r\nContent-Type: application/vnd.kubernetes.protobuf\r\n" +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}
inline const std::string kWatchHead =
    "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.kubernetes.protobuf;stream=watch\r\n"
    "Transfer-Encoding: chunked\r\n\r\n";

}  // namespace optipod::kube::test::protobuf
