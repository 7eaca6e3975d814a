// SPDX-License-Identifier: Apache-2.0
//
// Follows all objects of one resource: lists them, then watches for changes, for as long as it
// lives, whatever the API server does.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/kube/client.hpp"

namespace optipod::kube {

/// Receives a resource's objects, on the reflector's own thread, one call at a time. Their bytes
/// are valid during the call. An exception ends the list or watch as an error would.
class Handler {
 public:
  virtual ~Handler() = default;
  /// A list begins. What is not given to object() before end_list() no longer exists.
  virtual void begin_list() = 0;
  /// An object exists, in this form: from a list, or added or modified since.
  virtual void object(const EncodedObject& object) = 0;
  /// An object is gone; its last form.
  virtual void deleted(const EncodedObject& object) = 0;
  virtual void end_list() = 0;
  /// The list broke off: what it gave is true, what it did not give says nothing.
  virtual void abandon_list() = 0;
};

struct ReflectorOptions {
  std::string resource;        ///< path: "/api/v1/pods", "/apis/discovery.k8s.io/v1/endpointslices"
  std::string field_selector;  ///< "spec.nodeName!="; "" for all
  std::string label_selector;
  /// The handler reads protobuf as well as JSON: ask for it. Which comes is the server's choice.
  bool protobuf = false;

  std::size_t page_objects = 500;
  std::size_t max_page_bytes = 64 * 1024 * 1024;
  std::size_t max_event_bytes = 8 * 1024 * 1024;      ///< of a watch; etcd holds 1.5 MiB
  std::size_t max_objects = 1'000'000;                ///< of one list
  std::chrono::milliseconds page_timeout{60'000};     ///< one page, whole
  std::chrono::milliseconds connect_timeout{10'000};  ///< until a watch's head has come
  /// A watch without a byte for so long is dead. Bookmarks come about once a minute.
  std::chrono::milliseconds quiet_timeout{90'000};
  /// Events of a busy watch are read so far apart: each by itself would wake the thread anew. What
  /// comes after a quiet time is read at once. stop() may take so much longer.
  std::chrono::milliseconds gather{20};
  std::chrono::seconds min_watch{300}, max_watch{600};  ///< asked of the server, random between
  std::chrono::milliseconds watch_grace{30'000};  ///< for the server to end what it was asked to
  std::chrono::milliseconds min_backoff{500}, max_backoff{30'000};
};

struct ReflectorStatus {
  enum class State {
    kConnecting,  ///< nothing has been heard yet
    kSyncing,     ///< a list is being read, none has been complete
    kSynced,      ///< a list was complete, and changes come
    kFailing      ///< the last attempt failed: `last_error`; what was heard before may be old
  };
  using Time = std::chrono::steady_clock::time_point;

  State state = State::kConnecting;
  bool complete = false;                ///< some list was complete, now or earlier
  std::optional<Time> last_heard;       ///< last list's end, event or bookmark
  Encoding encoding = Encoding::kJson;  ///< of the last reply
  std::uint64_t lists = 0;              ///< complete ones
  std::uint64_t watches = 0;            ///< accepted by the server
  std::uint64_t events = 0;             ///< added, modified and deleted
  std::uint64_t bookmarks = 0;
  std::uint64_t failures = 0;  ///< attempts that failed
  std::string last_error;      ///< of the last failure, also after it was overcome
};

/// "connecting", "syncing", "synced" or "failing".
std::string_view to_string(ReflectorStatus::State state);

/// One thread that lists and watches. Costs the memory of a page while listing and of an event
/// while watching, whatever the server sends.
class Reflector {
 public:
  /// `client` and `handler` must outlive it.
  Reflector(const Client& client, ReflectorOptions options, Handler& handler);
  ~Reflector();  ///< as stop()
  Reflector(const Reflector&) = delete;
  Reflector& operator=(const Reflector&) = delete;

  void start();  ///< once
  /// Ends what is under way and joins; no call to the handler is made after it. Prompt in every
  /// state, but for a handler that does not return. Not from the handler.
  void stop();
  /// From any thread.
  [[nodiscard]] ReflectorStatus status() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace optipod::kube
