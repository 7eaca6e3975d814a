// SPDX-License-Identifier: Apache-2.0
//
// Pods and nodes as a real API server wrote them both ways (tests/kube/record.py): the same is
// read. And as nobody should write them.
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <vector>

#include <fmt/format.h>

#include "common/http/message.hpp"
#include "common/kube/client.hpp"
#include "common/kube/json.hpp"
#include "common/kube/protobuf.hpp"
#include "common/kube/splitters.hpp"
#include "common/text/protobuf.hpp"
#include "extender/wire/objects.hpp"
#include "tests/support/catch.hpp"

namespace optipod::extender {
namespace {

using kube::Encoding;

std::string recorded(const std::string& name) {
  std::ifstream file(std::filesystem::path(OPTIPOD_RECORDED) / name, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  REQUIRE(text.str().size() > 100);
  return text.str();
}

std::string described(const wire::Resources& resources) {
  return fmt::format("{}", fmt::join(resources.amount, " "));
}

std::string described(const wire::Pod& pod) {
  std::string out = fmt::format(
      "{}/{} {} owner {} {} template {} priority {} on {} {} since {} bad {} requests {} limits {}",
      pod.name_space, pod.name, pod.uid, pod.owner_kind, pod.owner_name, pod.template_hash,
      pod.priority, pod.node_name, pod.phase, pod.running_since_ms, pod.bad_quantities,
      described(pod.requests), described(pod.limits));
  for (const auto& [name, value] : pod.annotations) out += fmt::format(" {}={}", name, value);
  return out;
}

std::string described(const wire::NodeObject& node) {
  return fmt::format("{} congestion {} bad {} has {}", node.name, node.congestion,
                     node.bad_quantities, described(node.allocatable));
}

/// Reads as both programs' readers do; what cannot be read fails the test.
class Reading {
 public:
  explicit Reading(Encoding encoding) : encoding_(encoding) {}

  [[nodiscard]] std::string file(const std::string& name) const {
    return recorded(name + (encoding_ == Encoding::kJson ? ".json" : ".pb"));
  }
  std::string pod(std::string_view bytes) {
    const auto read = reader_.pod({encoding_, bytes});
    REQUIRE(read);
    return described(*read);
  }
  std::string node(std::string_view bytes) {
    const auto read = reader_.node({encoding_, bytes});
    REQUIRE(read);
    return described(*read);
  }
  /// Its objects, in their order.
  template <class Each>
  kube::ListPage page(const std::string& name, const Each& each) {
    std::string bytes = file(name);
    const std::size_t size = bytes.size();
    bytes.append(http::kBodyPadding, ' ');
    const std::string_view body = std::string_view(bytes).substr(0, size);
    const auto take = [&](std::string_view object) {
      each(object);
      return true;
    };
    kube::JsonReader json;
    auto read = encoding_ == Encoding::kJson ? json.read_page(body, take)
                                             : kube::read_protobuf_page(body, take);
    REQUIRE(read);
    return *read;
  }
  std::vector<std::string> events(const std::string& name) {
    std::vector<std::string> out;
    kube::JsonReader json;
    const auto take = [&](std::string_view bytes) {
      const auto event =
          encoding_ == Encoding::kJson ? json.read_event(bytes) : kube::read_protobuf_event(bytes);
      REQUIRE(event);
      out.push_back(fmt::format("{} {} ", static_cast<int>(event->type), event->resource_version));
      if (event->type != kube::WatchEvent::Type::kBookmark) out.back() += pod(event->object);
      return true;
    };
    constexpr std::size_t kMost = 1 << 20;
    const kube::Split split = encoding_ == Encoding::kJson
                                  ? kube::LineSplitter(kMost).feed(file(name), take)
                                  : kube::FrameSplitter(kMost).feed(file(name), take);
    CHECK(split == kube::Split::kMore);
    return out;
  }

 private:
  Encoding encoding_;
  wire::ObjectReader reader_{wire::ResourceNames({"example.com/fpga"})};
};

TEST_CASE("a real API server's pods and nodes are the same as JSON and as protobuf") {
  Reading json(Encoding::kJson);
  Reading protobuf(Encoding::kProtobuf);
  std::map<Encoding, std::vector<std::string>> seen;
  for (auto* reading : {&json, &protobuf}) {
    auto& out = seen[reading == &json ? Encoding::kJson : Encoding::kProtobuf];
    const auto pods =
        reading->page("pods", [&](std::string_view bytes) { out.push_back(reading->pod(bytes)); });
    CHECK(pods.objects == 6);
    const auto nodes = reading->page(
        "nodes", [&](std::string_view bytes) { out.push_back(reading->node(bytes)); });
    CHECK(nodes.objects == 1);
    for (const auto* page : {&pods, &nodes}) {
      out.push_back(page->resource_version + " " + page->continue_token);
    }
    const auto events = reading->events("watch");
    CHECK(events.size() >= 8);
    out.insert(out.end(), events.begin(), events.end());
    out.push_back(kube::status_message(404, reading->file("missing")));
  }
  CHECK(seen[Encoding::kJson] == seen[Encoding::kProtobuf]);
  CHECK(seen[Encoding::kJson].back() == R"(404: pods "missing" not found)");
}

TEST_CASE("protobuf: what a recorded pod and node say") {
  Reading reading(Encoding::kProtobuf);
  wire::ObjectReader reader(wire::ResourceNames({"example.com/fpga"}));
  int known = 0;
  reading.page("pods", [&](std::string_view bytes) {
    const auto pod = reader.pod({Encoding::kProtobuf, bytes});
    REQUIRE(pod);
    CHECK(pod->bad_quantities == 0);
    const bool reported = pod->name.starts_with("resized");  // without a limit of these
    CHECK(pod->limits.amount[wire::kFirstExtended] == Approx(reported ? 0 : 6));
    if (pod->name == "placed") {
      ++known;
      CHECK(pod->node_name == "node-1");
      CHECK(pod->priority == 1000);
      CHECK(pod->requests.cpu() == Approx(3));  // the pod's own, instead of its containers'
      CHECK(pod->running_since_ms == 1795532647000);
      CHECK(pod->annotations.size() == 2);
      CHECK(pod->annotation("optipod.dev/policy") == "safe=1");
      CHECK(wire::workload_of(*pod).ends_with("/Deployment/web"));
    } else if (pod->name == "half") {
      ++known;
      CHECK(pod->running_since_ms == 0);
      CHECK(pod->phase == "Running");
      // The init container after the sidecar: 100m + 2, more than 250m + 500m + 100m.
      CHECK(pod->requests.cpu() == Approx(2.1));
      CHECK(pod->requests.memory() == Approx(64 * 1048576.0 + 1e6 + 1500e6));
    } else if (pod->name == "resized") {
      ++known;  // what is allocated or in use, as its node cannot grant what it asks for
      CHECK(pod->requests.cpu() == Approx(0.4 + 0.5 + 0.15));
      CHECK(pod->requests.memory() == Approx(64 * 1048576.0 + 1e6 + 1e9));
    } else if (pod->name == "resized-whole") {
      ++known;
      CHECK(pod->requests.cpu() == Approx(3.5));
      CHECK(pod->requests.memory() == Approx(3.0 * 1024 * 1024 * 1024));
    }
  });
  CHECK(known == 4);
  reading.page("nodes", [&](std::string_view bytes) {
    const auto node = reader.node({Encoding::kProtobuf, bytes});
    REQUIRE(node);
    CHECK(node->name == "node-1");
    CHECK(node->congestion == 25.5);
    CHECK(node->allocatable.cpu() == Approx(16));
    CHECK(node->allocatable[wire::kPods] == 110);
    CHECK(node->allocatable[wire::kFirstExtended] == 4);
  });
}

TEST_CASE("protobuf: objects that are cut or changed anywhere are refused or read, no more") {
  Reading reading(Encoding::kProtobuf);
  wire::ObjectReader reader{wire::ResourceNames()};
  std::size_t refused = 0;
  std::size_t read = 0;
  const auto look = [&](std::string_view bytes) {
    const bool fine = reader.pod({Encoding::kProtobuf, bytes}).has_value();
    ++(fine ? read : refused);
    (void)reader.node({Encoding::kProtobuf, bytes});
  };
  for (const char* page : {"pods", "nodes"}) {
    reading.page(page, [&](std::string_view object) {
      // In memory of its own, so that reading past the end is seen.
      for (std::size_t size = 0; size < object.size(); ++size) {
        const std::vector<char> start(object.begin(), object.begin() + std::ptrdiff_t(size));
        look({start.data(), start.size()});
      }
      std::string changed(object);
      for (std::size_t i = 0; i < changed.size(); ++i) {
        const char was = changed[i];
        for (const int flip : {0x01, 0x80, 0xFF}) {
          changed[i] = static_cast<char>(was ^ flip);
          look(changed);
        }
        changed[i] = was;
      }
    });
  }
  CHECK(refused > 1000);
  CHECK(read > 1000);
}

std::string field(std::uint32_t number, std::string_view bytes) {
  std::string out;
  text::protobuf::add_bytes(out, number, bytes);
  return out;
}
std::string field(std::uint32_t number, std::uint64_t value) {
  std::string out;
  text::protobuf::add_integer(out, number, value);
  return out;
}
const std::string kMetadata = field(1, field(5, "u"));

TEST_CASE("protobuf: what is no protobuf, or of another shape, is refused with the reason") {
  wire::ObjectReader reader{wire::ResourceNames()};
  const std::pair<std::string, std::string> bad[] = {
      {"", "pod: no metadata.uid"},
      {"{}", "pod: malformed protobuf: "},
      {kMetadata + field(2, std::uint64_t{1}), "another type"},
      {kMetadata + field(2, field(25, "priority")), "another type"},
      {kMetadata + field(2, field(2, field(8, field(1, field(1, std::uint64_t{1}))))),
       "another type"},
      {kMetadata + field(3, field(8, field(2, field(2, field(1, field(1, "time")))))),
       "another type"},
  };
  for (const auto& [bytes, message] : bad) {
    const auto pod = reader.pod({Encoding::kProtobuf, bytes});
    INFO(message);
    REQUIRE_FALSE(pod);
    INFO(pod.error());
    CHECK(pod.error().find(message) != std::string::npos);
  }
  CHECK_FALSE(reader.node({Encoding::kProtobuf, kMetadata}));
  // Deeper than any stack, in a field that is known and in one that is not.
  std::string deep;
  for (int i = 0; i < 2000; ++i) deep = field(2, deep);
  CHECK(reader.pod({Encoding::kProtobuf, kMetadata + deep + field(99, deep)}));
}

TEST_CASE("protobuf: a node that a taint wants avoided, and one that is closed by it") {
  wire::ObjectReader reader{wire::ResourceNames()};
  const auto with = [&](std::string_view effect) {
    const std::string taint = field(5, field(1, "key") + field(3, effect));
    const std::string zone = field(11, field(1, "topology.kubernetes.io/zone") + field(2, "west"));
    const std::string bytes = field(1, field(1, "n") + zone) +
                              field(2, field(1, "10.0.0.0/24") + taint + field(5, field(1, "b")));
    const auto node = reader.node({Encoding::kProtobuf, bytes});
    REQUIRE(node);
    CHECK(node->zone == "west");
    return node->avoided;
  };
  CHECK(with("PreferNoSchedule"));
  CHECK_FALSE(with("NoSchedule"));
  CHECK_FALSE(with(""));
}

TEST_CASE(
    "protobuf: text that is not UTF-8 counts as absent, quantities and times that are none, too") {
  wire::ObjectReader reader{wire::ResourceNames()};
  const std::string owner = field(1, "Job") + field(3, "a\xff") + field(6, std::uint64_t{1});
  const auto annotation = [](std::string_view name, std::string_view value) {
    return field(12, field(1, name) + field(2, value));
  };
  const std::string metadata =
      field(1, field(5, "u") + field(1, "\xc0\x80") + field(13, owner) +
                   annotation("optipod.dev/a", "\xff") + annotation("optipod.dev/\xff", "b") +
                   annotation("optipod.dev/c", "d"));
  const auto quantity = [](std::string_view name, std::string_view amount) {
    return field(32, field(1, name) + field(2, field(1, amount)));
  };
  const auto started = [](std::uint64_t seconds) {
    return field(8, field(2, field(2, field(1, field(1, seconds)))));
  };
  const std::string spec = field(2, quantity("cpu", "-1") + quantity("memory", "lots\xff") +
                                        quantity("other", "x") + field(25, ~std::uint64_t{4}));
  const std::string never = field(3, started(1) + started(std::uint64_t{1} << 62));
  const std::string bytes = metadata + spec + never;
  const auto pod = reader.pod({Encoding::kProtobuf, bytes});
  REQUIRE(pod);
  CHECK(pod->name.empty());
  CHECK(pod->owner_kind == "Job");
  CHECK(pod->owner_name.empty());
  REQUIRE(pod->annotations.size() == 1);
  CHECK(pod->annotations[0].second == "d");
  CHECK(pod->bad_quantities == 2);
  CHECK(pod->requests.cpu() == 0);
  CHECK(pod->priority == -5);
  CHECK(pod->running_since_ms == 0);
  const std::string runs = kMetadata + field(3, started(7) + started(5));
  CHECK(reader.pod({Encoding::kProtobuf, runs})->running_since_ms == 7000);
  const std::string empty_time =
      kMetadata + field(3, started(7) + field(8, field(2, field(2, ""))));
  CHECK(reader.pod({Encoding::kProtobuf, empty_time})->running_since_ms == 0);
}

}  // namespace
}  // namespace optipod::extender
