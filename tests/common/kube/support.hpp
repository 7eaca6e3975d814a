// SPDX-License-Identifier: Apache-2.0
//
// What the tests of common/kube share: certificates, files, an API server that says what it is told
// to, and a handler that remembers.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <httplib.h>
#include <nlohmann/json.hpp>

#include "common/http/message.hpp"
#include "common/kube/client.hpp"
#include "common/kube/protobuf_fields.hpp"
#include "common/kube/reflector.hpp"
#include "tests/common/folder.hpp"
#include "tests/common/raw_socket.hpp"
#include "tests/support/catch.hpp"

namespace optipod::kube::test {

using http::test::Folder;
using http::test::Raw;
using http::test::RawServer;
using std::chrono::milliseconds;
using std::chrono::seconds;

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// Whether `holds` becomes true before a time that only a broken program needs.
template <class Holds>
bool eventually(const Holds& holds, milliseconds time = seconds(30)) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(milliseconds(2));
  }
  return true;
}

/// Its stop() does nothing before it runs.
inline void wait_for(const httplib::Server& server) {
  REQUIRE(eventually([&] { return server.is_running(); }));
}

inline std::string sized(const std::string& body, const std::string& status = "200 OK",
                         const std::string& lines = "") {
  return "HTTP/1.1 " + status + "\r\nContent-Type: application/json\r\n" + lines +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}
inline const std::string kWatchHead =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
inline std::string chunk(const std::string& bytes) {
  std::array<char, 32> size{};
  std::snprintf(size.data(), size.size(), "%zx\r\n", bytes.size());
  return size.data() + bytes + "\r\n";
}
inline const std::string kLastChunk = "0\r\n\r\n";

inline std::string pod(const std::string& name, const std::string& version,
                       const std::string& extra = "") {
  return R"({"metadata":{"name":")" + name + R"(","uid":"u-)" + name + R"(","resourceVersion":")" +
         version + "\"" + extra + R"(},"spec":{"note":"} ] \" {"}})";
}
inline std::string list(const std::vector<std::string>& items, const std::string& version,
                        const std::string& next = "") {
  std::string out = R"({"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":")" +
                    version + R"(","continue":")" + next + R"("},"items":[)";
  for (std::size_t i = 0; i < items.size(); ++i) out += (i == 0 ? "" : ",") + items[i];
  return out + "]}\n";
}
inline std::string event(const std::string& type, const std::string& object) {
  return R"({"type":")" + type + R"(","object":)" + object + "}\n";
}
inline std::string bookmark(const std::string& version) {
  return event("BOOKMARK", R"({"kind":"Pod","metadata":{"resourceVersion":")" + version + R"("}})");
}
inline std::string api_status(int code, const std::string& reason, const std::string& message) {
  return R"({"kind":"Status","apiVersion":"v1","status":"Failure","message":")" + message +
         R"(","reason":")" + reason + R"(","code":)" + std::to_string(code) + "}\n";
}

/// An API server of bytes: `list` and `watch` say what to answer, and see the request line.
class Api {
 public:
  using Answer = std::function<void(Raw&, const std::string& request_line)>;
  Answer on_list = [](Raw& raw, const std::string&) { raw.send(sized(list({}, "1"))); };
  Answer on_watch = [this](Raw& raw, const std::string&) {
    raw.send(kWatchHead);
    hold(raw);
  };
  std::atomic<int> lists{0}, watches{0};

  Api()
      : server_([this](Raw& raw, int) {
          for (;;) {
            const std::string head = RawServer::read_head(raw);
            if (head.empty()) return;
            const std::string line = line_of(head);
            {
              const std::lock_guard lock(mutex_);
              heads_.push_back(head);
            }
            if (contains(line, "watch=true")) {
              ++watches;
              on_watch(raw, line);
              return;
            }
            ++lists;
            on_list(raw, line);
            if (raw.fd() < 0) return;
          }
        }) {}
  ~Api() { let_go(); }

  /// Says nothing until the client has gone, or the test ends.
  void hold(const Raw& raw) {
    while (!gone_ && !raw.closed_within(milliseconds(10))) {
    }
  }
  void let_go() { gone_ = true; }
  [[nodiscard]] std::vector<std::string> heads() const {
    const std::lock_guard lock(mutex_);
    return heads_;
  }
  /// Of requests.
  [[nodiscard]] std::vector<std::string> lines() const {
    std::vector<std::string> out;
    for (const auto& head : heads()) out.push_back(line_of(head));
    return out;
  }
  [[nodiscard]] std::string last(const std::string& part) const {
    std::string out;
    for (const auto& line : lines()) {
      if (contains(line, part)) out = line;
    }
    return out;
  }
  [[nodiscard]] std::string url() const {
    return "http://127.0.0.1:" + std::to_string(server_.port());
  }

 private:
  static std::string line_of(const std::string& head) { return head.substr(0, head.find("\r\n")); }

  std::atomic<bool> gone_{false};
  mutable std::mutex mutex_;
  std::vector<std::string> heads_;  ///< under mutex_
  RawServer server_;
};

/// An object's name and version.
inline std::pair<std::string, std::string> identity(const EncodedObject& object) {
  std::pair<std::string, std::string> out;
  if (object.encoding == Encoding::kProtobuf) {
    each_field(object.bytes, [&](const Field& field) {
      if (field.number() != 1) return;
      each_field(field.bytes(), [&](const Field& metadata) {
        if (metadata.number() == 1) out.first = metadata.bytes();
        if (metadata.number() == 6) out.second = metadata.bytes();
      });
    });
    return out;
  }
  // Padding must be readable; sanitizers check it.
  const std::string_view json = object.bytes;
  volatile char sum = 0;
  for (std::size_t i = 0; i < http::kBodyPadding; ++i) sum = *(json.data() + json.size() + i);
  (void)sum;
  const auto metadata = nlohmann::json::parse(json)["metadata"];
  return {metadata["name"], metadata["resourceVersion"]};
}

/// Keeps the objects as a handler of the real programs does.
class Memory : public Handler {
 public:
  void begin_list() override {
    const std::lock_guard lock(mutex_);
    if (listing_) std::abort();  // a list within a list; Catch's macros are for one thread only
    listing_ = true;
    seen_.clear();
  }
  void object(const EncodedObject& object) override {
    const auto [name, version] = identity(object);
    const std::lock_guard lock(mutex_);
    objects_[name] = version;
    if (listing_) seen_.insert(name);
    if (throw_on == name) throw std::runtime_error("the handler does not like " + name);
  }
  void deleted(const EncodedObject& object) override {
    const auto [name, version] = identity(object);
    const std::lock_guard lock(mutex_);
    objects_.erase(name);
  }
  void end_list() override {
    const std::lock_guard lock(mutex_);
    std::erase_if(objects_, [&](const auto& object) { return seen_.count(object.first) == 0; });
    listing_ = false;
    ++ended;
  }
  void abandon_list() override {
    const std::lock_guard lock(mutex_);
    listing_ = false;
    ++abandoned;
  }
  [[nodiscard]] std::map<std::string, std::string> objects() const {
    const std::lock_guard lock(mutex_);
    return objects_;
  }
  [[nodiscard]] bool listing() const {
    const std::lock_guard lock(mutex_);
    return listing_;
  }
  std::string throw_on;
  std::atomic<int> ended{0}, abandoned{0};

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::string> objects_;
  std::set<std::string> seen_;
  bool listing_ = false;
};
using Objects = std::map<std::string, std::string>;

inline std::unique_ptr<Client> client_for(const std::string& url) {
  ClusterConfig config;
  config.server = url;
  auto client = Client::make(config);
  REQUIRE(client.has_value());
  return std::move(*client);
}

inline ReflectorOptions quick(const std::string& resource = "/api/v1/pods") {
  ReflectorOptions options;
  options.resource = resource;
  options.min_backoff = milliseconds(5);
  options.max_backoff = milliseconds(50);
  options.page_timeout = options.connect_timeout = options.quiet_timeout = seconds(20);
  return options;
}

}  // namespace optipod::kube::test
