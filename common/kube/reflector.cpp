// SPDX-License-Identifier: Apache-2.0
#include "common/kube/reflector.hpp"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <random>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "common/http/buffer.hpp"
#include "common/http/message.hpp"
#include "common/http/percent.hpp"
#include "common/kube/backoff.hpp"
#include "common/kube/json.hpp"
#include "common/kube/protobuf.hpp"
#include "common/kube/splitters.hpp"

namespace optipod::kube {
namespace {

using Clock = std::chrono::steady_clock;
using State = ReflectorStatus::State;
using std::chrono::milliseconds;

constexpr std::size_t kMostVersion = 128;        ///< bytes of a resourceVersion
constexpr std::size_t kMostContinue = 8 * 1024;  ///< it goes into a request's first line
constexpr std::size_t kExtraPages = 1000;        ///< a filtered page may hold less than it could
constexpr int kMostRewatches = 8;  ///< failed watches of one version before all is listed anew
constexpr std::chrono::seconds kShortWatch{1};

/// How a list or a watch ended.
struct Ended {
  std::string error;      ///< "": as it should
  bool relist = false;    ///< what has been heard cannot be continued
  bool progress = false;  ///< something new was heard
  std::chrono::seconds retry_after{0};
};

}  // namespace

std::string_view to_string(State state) {
  switch (state) {
    case State::kConnecting:
      return "connecting";
    case State::kSyncing:
      return "syncing";
    case State::kSynced:
      return "synced";
    case State::kFailing:
      break;
  }
  return "failing";
}

struct Reflector::Impl {
  Impl(const Client& c, ReflectorOptions o, Handler& h)
      : client(c),
        options(std::move(o)),
        handler(h),
        backoff(options.min_backoff, options.max_backoff) {}

  void run();
  void step();
  /// list() or watch(), whatever they throw.
  Ended attempt(bool listing);
  void settle(const Ended& ended, bool listing, Clock::duration took);
  void pause(milliseconds time);

  Ended list();
  Ended list_pages();
  Ended list_page(ListPage& page, std::size_t& objects);
  /// Its objects into the handler.
  tl::expected<ListPage, std::string> read_page(http::OriginReply& reply, std::size_t& objects);
  Ended watch();
  static void judge_watch(const tl::expected<http::OriginReply, std::string>& reply, Ended& ended);
  bool on_event(std::string_view bytes, Encoding encoding, Ended& ended);
  void on_error_event(const WatchEvent& event, Ended& ended) const;

  tl::expected<Encoding, std::string> came_as(const std::string& content_type);
  [[nodiscard]] std::string target() const;
  [[nodiscard]] RequestOptions request(milliseconds timeout) const;
  void set_state(State state);
  template <class Change>
  void update(const Change& change) {
    const std::lock_guard lock(mutex);
    change(status);
  }

  const Client& client;
  const ReflectorOptions options;
  Handler& handler;

  // The reflector's thread only:
  Backoff backoff;
  std::minstd_rand random{std::random_device{}()};
  JsonReader events;
  std::string version;     ///< where a watch goes on; "": a list is due
  bool list_open = false;  ///< begin_list() without its end
  bool progress = false;   ///< a watch has given something since the last list
  int failed_watches = 0;  ///< of this version, in a row

  mutable std::mutex mutex;
  ReflectorStatus status;  ///< under mutex

  std::stop_source stop;
  std::mutex pause_mutex;
  std::condition_variable_any pausing;
  std::thread thread;
};

std::string Reflector::Impl::target() const {
  std::string out =
      options.resource + (options.resource.find('?') == std::string::npos ? "?" : "&");
  if (!options.field_selector.empty()) {
    out += "fieldSelector=" + http::percent_encode(options.field_selector) + "&";
  }
  if (!options.label_selector.empty()) {
    out += "labelSelector=" + http::percent_encode(options.label_selector) + "&";
  }
  return out;
}

RequestOptions Reflector::Impl::request(milliseconds timeout) const {
  RequestOptions out;
  out.timeout = timeout;
  out.max_body_bytes = options.max_page_bytes;
  out.protobuf = options.protobuf;
  out.stop = stop.get_token();
  return out;
}

void Reflector::Impl::set_state(State state) {
  State before = state;
  std::string error;
  Encoding encoding = Encoding::kJson;
  update([&](ReflectorStatus& s) {
    before = std::exchange(s.state, state);
    error = s.last_error;
    encoding = s.encoding;
  });
  if (before == state) return;
  if (state == State::kFailing) {
    spdlog::warn("watching {}: {}", options.resource, error);
  } else {
    spdlog::info("watching {}: {}{}", options.resource, to_string(state),
                 encoding == Encoding::kProtobuf ? ", as protobuf" : "");
  }
}

/// Of a reply, which must be one of those that were asked for.
tl::expected<Encoding, std::string> Reflector::Impl::came_as(const std::string& content_type) {
  const Encoding encoding = encoding_of(content_type);
  if (encoding == Encoding::kProtobuf && !options.protobuf) {
    return tl::unexpected(std::string("came as protobuf, which was not asked for"));
  }
  update([&](ReflectorStatus& s) { s.encoding = encoding; });
  return encoding;
}

// ---- Lists

tl::expected<ListPage, std::string> Reflector::Impl::read_page(http::OriginReply& reply,
                                                               std::size_t& objects) {
  const auto encoding = came_as(reply.content_type);
  if (!encoding) return tl::unexpected(encoding.error());
  const auto take = [&](std::string_view bytes) {
    if (stop.stop_requested() || objects == options.max_objects) return false;
    ++objects;
    handler.object({*encoding, bytes});
    return true;
  };
  if (*encoding == Encoding::kProtobuf) return read_protobuf_page(reply.body, take);
  const std::size_t size = reply.body.size();
  reply.body.append(http::kBodyPadding, '\0');
  JsonReader reader;  // not kept: it grows with the page
  return reader.read_page(std::string_view(reply.body).substr(0, size), take);
}

/// One page into the handler. No resourceVersion is asked for: "0" would be answered by the API
/// server from memory and possibly from the past, and makes it ignore `limit`, so that a large
/// cluster comes as one body of hundreds of megabytes. Without it, pages are bounded and the first
/// is current; since Kubernetes 1.31 it comes from memory all the same.
Ended Reflector::Impl::list_page(ListPage& page, std::size_t& objects) {
  Ended ended;
  ended.relist = true;
  std::string path = target() + fmt::format("limit={}", options.page_objects);
  if (!page.continue_token.empty()) {
    path += "&continue=" + http::percent_encode(page.continue_token);
  }
  auto reply = client.get(path, request(options.page_timeout));
  if (!reply) {
    ended.error = reply.error();
    return ended;
  }
  if (reply->status != 200) {
    ended.error = "list: " + status_message(reply->status, reply->body);
    ended.retry_after = reply->retry_after;
    return ended;
  }
  if (!list_open) {
    handler.begin_list();
    list_open = true;
  }
  auto read = read_page(*reply, objects);
  if (!read) {
    ended.error = objects == options.max_objects
                      ? fmt::format("list: more than {} objects", options.max_objects)
                      : "list: " + read.error();
  } else if (read->resource_version.size() > kMostVersion ||
             read->continue_token.size() > kMostContinue) {
    ended.error = "list: its resourceVersion or continue token is too long";
  } else {
    page = std::move(*read);
  }
  return ended;
}

Ended Reflector::Impl::list_pages() {
  const std::size_t most_pages =
      options.max_objects / std::max<std::size_t>(options.page_objects, 1) + kExtraPages;
  ListPage page;
  std::size_t objects = 0;
  std::string first_version;
  for (std::size_t pages = 0; pages < most_pages; ++pages) {
    Ended ended = list_page(page, objects);
    if (!ended.error.empty()) return ended;
    if (first_version.empty()) first_version = page.resource_version;
    if (page.continue_token.empty()) {
      handler.end_list();
      list_open = false;
      version = first_version;
      return {};
    }
  }
  return {fmt::format("list: does not end after {} pages", most_pages), true};
}

Ended Reflector::Impl::list() {
  update([](ReflectorStatus& s) {
    if (s.state == State::kConnecting) s.state = State::kSyncing;
  });
  Ended ended = list_pages();
  if (!ended.error.empty()) return ended;
  progress = false;
  failed_watches = 0;
  update([](ReflectorStatus& s) {
    ++s.lists;
    s.complete = true;
    s.last_heard = Clock::now();
  });
  set_state(State::kSynced);
  return ended;
}

// ---- Watches

void Reflector::Impl::on_error_event(const WatchEvent& event, Ended& ended) const {
  ApiStatus why;
  ended.relist = true;
  if (!parse_status(event.object, why)) why.message = "an ERROR event that is no Status";
  if (why.code == 410 || why.reason == "Expired" || why.reason == "Gone") return;
  ended.error = "watch: " + status_message(why.code, event.object);
}

/// False ends the watch.
bool Reflector::Impl::on_event(std::string_view bytes, Encoding encoding, Ended& ended) {
  if (stop.stop_requested()) return false;
  auto event =
      encoding == Encoding::kProtobuf ? read_protobuf_event(bytes) : events.read_event(bytes);
  if (event && event->resource_version.size() > kMostVersion) {
    event = tl::unexpected(std::string("malformed event: its resourceVersion is too long"));
  }
  if (!event) {
    ended.error = "watch: " + event.error();
    ended.relist = true;
    return false;
  }
  using Type = WatchEvent::Type;
  if (event->type == Type::kError) {
    on_error_event(*event, ended);
    return false;
  }
  const EncodedObject object{encoding, event->object};
  if (event->type == Type::kDeleted) handler.deleted(object);
  if (event->type == Type::kAdded || event->type == Type::kModified) handler.object(object);
  version = std::move(event->resource_version);
  ended.progress = true;
  const bool bookmark = event->type == Type::kBookmark;
  update([&](ReflectorStatus& s) {
    ++(bookmark ? s.bookmarks : s.events);
    s.last_heard = Clock::now();
  });
  return true;
}

/// What the end of a watch says, beside its events.
void Reflector::Impl::judge_watch(const tl::expected<http::OriginReply, std::string>& reply,
                                  Ended& ended) {
  if (!reply) {
    ended.error = reply.error();
  } else if (reply->status == 410) {
    ended.relist = true;
  } else if (reply->status != 200) {
    ended.error = "watch: " + status_message(reply->status, reply->body);
    ended.retry_after = reply->retry_after;
    // Refused or busy for now; anything else may be the version's fault.
    const bool keep = reply->status >= 500 || reply->status == 401 || reply->status == 403 ||
                      reply->status == 429;
    ended.relist = !keep;
  }
}

Ended Reflector::Impl::watch() {
  std::uniform_int_distribution<std::chrono::seconds::rep> seconds(
      options.min_watch.count(), std::max(options.min_watch, options.max_watch).count());
  const std::chrono::seconds asked(seconds(random));
  tl::expected<Encoding, std::string> encoding;
  http::StreamOptions how;
  how.quiet = options.quiet_timeout;
  how.total = asked + options.watch_grace;
  how.gather = options.gather;
  how.opened = [&](const std::string& content_type) {
    encoding = came_as(content_type);
    update([](ReflectorStatus& s) { ++s.watches; });
    if (encoding) set_state(State::kSynced);
  };
  Ended ended;
  LineSplitter lines(options.max_event_bytes);
  FrameSplitter frames(options.max_event_bytes);
  const auto each = [&](std::string_view bytes) { return on_event(bytes, *encoding, ended); };
  const auto sink = [&](std::string_view bytes) {
    if (!encoding) return false;
    const Split split =
        *encoding == Encoding::kProtobuf ? frames.feed(bytes, each) : lines.feed(bytes, each);
    if (split == Split::kTooLong) {
      ended.error = fmt::format("watch: an event of more than {} bytes", options.max_event_bytes);
      ended.relist = true;
    }
    return split == Split::kMore;
  };
  const std::string path = target() + fmt::format(
                                          "watch=true&allowWatchBookmarks=true&timeoutSeconds={}"
                                          "&resourceVersion={}",
                                          asked.count(), http::percent_encode(version));
  judge_watch(client.stream(path, how, sink, request(options.connect_timeout)), ended);
  if (!encoding) ended.error = "watch: " + encoding.error();
  return ended;
}

// ---- The thread

Ended Reflector::Impl::attempt(bool listing) {
  Ended ended;
  try {
    ended = listing ? list() : watch();
  } catch (const std::exception& error) {
    ended = {std::string("exception: ") + error.what(), true};
  } catch (...) {
    ended = {"unknown exception", true};
  }
  if (!std::exchange(list_open, false)) return ended;
  try {
    handler.abandon_list();
  } catch (...) {
    spdlog::error("watching {}: the handler threw in abandon_list()", options.resource);
  }
  return ended;
}

void Reflector::Impl::pause(milliseconds time) {
  std::unique_lock lock(pause_mutex);
  pausing.wait_for(lock, stop.get_token(), time, [] { return false; });
}

/// What to do next, and how soon. A server that gives nothing new is asked less and less often,
/// however politely it answers.
void Reflector::Impl::settle(const Ended& ended, bool listing, Clock::duration took) {
  progress = progress || ended.progress;
  if (ended.progress || (!listing && ended.error.empty() && !ended.relist && took >= kShortWatch)) {
    backoff.reset();
  }
  if (ended.error.empty()) {
    if (listing) return;  // now watch
    if (ended.relist) {   // 410: what we knew is too old
      version.clear();
      if (!progress) pause(backoff.next(random));
      return;
    }
    // It ended as watches do. One that ends at once is not worth asking for again at once.
    if (took < kShortWatch) pause(backoff.next(random));
    return;
  }
  update([&](ReflectorStatus& s) {
    ++s.failures;
    s.last_error = ended.error;
  });
  set_state(State::kFailing);
  if (ended.progress) failed_watches = 0;
  if (!listing && (ended.relist || ++failed_watches >= kMostRewatches)) version.clear();
  pause(backoff.next(random, ended.retry_after));
}

void Reflector::Impl::step() {
  const bool listing = version.empty();
  const auto begun = Clock::now();
  const Ended ended = attempt(listing);
  if (!stop.stop_requested()) settle(ended, listing, Clock::now() - begun);
}

void Reflector::Impl::run() {
  while (!stop.stop_requested()) {
    try {
      step();
    } catch (...) {  // out of memory, at most: what a step does is caught where it is done
      version.clear();
    }
  }
}

Reflector::Reflector(const Client& client, ReflectorOptions options, Handler& handler)
    : impl_(std::make_unique<Impl>(client, std::move(options), handler)) {}

Reflector::~Reflector() {
  stop();
}

void Reflector::start() {
  impl_->thread = std::thread([impl = impl_.get()] { impl->run(); });
}

void Reflector::stop() {
  impl_->stop.request_stop();
  if (impl_->thread.joinable()) impl_->thread.join();
}

ReflectorStatus Reflector::status() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->status;
}

}  // namespace optipod::kube
