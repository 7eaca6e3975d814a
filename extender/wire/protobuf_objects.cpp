// SPDX-License-Identifier: Apache-2.0
#include "extender/wire/protobuf_objects.hpp"

#include "common/kube/protobuf_fields.hpp"
#include "common/text/utf8.hpp"
#include "extender/wire/pod_needs.hpp"

namespace optipod::extender::wire {
namespace {

using kube::each_field;
using kube::Field;
using kube::map_entry;

// Field numbers, by message.
namespace object_meta {
constexpr std::uint32_t kName = 1, kNamespace = 3, kUid = 5, kLabels = 11, kAnnotations = 12,
                        kOwnerReferences = 13;
}
namespace owner_reference {
constexpr std::uint32_t kKind = 1, kName = 3, kController = 6;
}
/// Of Pod and Node.
namespace object {
constexpr std::uint32_t kMetadata = 1, kSpec = 2, kStatus = 3;
}
namespace pod_spec {
constexpr std::uint32_t kContainers = 2, kNodeName = 10, kInitContainers = 20, kPriority = 25,
                        kOverhead = 32, kResources = 40;
}
namespace container {
constexpr std::uint32_t kName = 1, kResources = 8, kRestartPolicy = 24;
}
namespace resource_requirements {
constexpr std::uint32_t kLimits = 1, kRequests = 2;
}
namespace pod_status {
constexpr std::uint32_t kPhase = 1, kConditions = 2, kContainerStatuses = 8,
                        kInitContainerStatuses = 10, kAllocatedResources = 19, kResources = 20;
}
namespace pod_condition {
constexpr std::uint32_t kType = 1, kReason = 5;
}
namespace container_status {
constexpr std::uint32_t kName = 1, kState = 2, kAllocatedResources = 10, kResources = 11;
}
constexpr std::uint32_t kStateRunning = 2, kRunningStartedAt = 1;
constexpr std::uint32_t kTimeSeconds = 1;
constexpr std::uint32_t kQuantityString = 1;
constexpr std::uint32_t kNodeSpecTaints = 5, kTaintEffect = 3;
constexpr std::uint32_t kNodeStatusAllocatable = 2;

void read_text(const Field& field, std::string_view& out) {
  const std::string_view bytes = field.bytes();
  if (text::utf8_valid(bytes)) out = bytes;
}

/// An entry of map<string, Quantity>.
void read_quantity(const ResourceNames& names, std::string_view entry, ResourceList& out,
                   unsigned& bad) {
  map_entry(entry, [&](std::string_view name, std::string_view quantity) {
    std::string_view text;
    each_field(quantity, [&](const Field& field) {
      if (field.number() == kQuantityString) text = field.bytes();
    });
    state_quantity(names, name, text, out, bad);
  });
}

/// v1.Time as Unix ms: whole seconds, as Go's own reader takes it. An empty one is no time, and one
/// outside of the years that JSON can write neither.
std::optional<std::int64_t> read_time(std::string_view message) {
  constexpr std::int64_t kYear0 = -62'167'219'200, kYear10000 = 253'402'300'800;
  std::optional<std::int64_t> seconds;
  each_field(message, [&](const Field& field) {
    if (field.number() == kTimeSeconds) seconds = static_cast<std::int64_t>(field.integer());
  });
  if (!seconds || *seconds < kYear0 || *seconds >= kYear10000) return std::nullopt;
  return *seconds * 1000;
}

class PodMessage {
 public:
  PodMessage(const ResourceNames& names, Pod& pod) : names_(names), pod_(pod) {}

  void read(std::string_view message) {
    each_field(message, [this](const Field& field) {
      if (field.number() == object::kMetadata) metadata(field.bytes());
      if (field.number() == object::kSpec) spec(field.bytes());
      if (field.number() == object::kStatus) status(field.bytes());
    });
    needs_.settle(names_, pod_);
    pod_.running_since_ms = starts_.running_since_ms();
  }

 private:
  void metadata(std::string_view message) {
    each_field(message, [this](const Field& field) {
      switch (field.number()) {
        case object_meta::kName:
          return read_text(field, pod_.name);
        case object_meta::kNamespace:
          return read_text(field, pod_.name_space);
        case object_meta::kUid:
          return read_text(field, pod_.uid);
        case object_meta::kLabels:
          return map_entry(field.bytes(), [this](std::string_view name, std::string_view value) {
            if (name == "pod-template-hash" && text::utf8_valid(value)) pod_.template_hash = value;
          });
        case object_meta::kAnnotations:
          return map_entry(field.bytes(), [this](std::string_view name, std::string_view value) {
            if (name.starts_with(kAnnotationPrefix) && text::utf8_valid(name) &&
                text::utf8_valid(value)) {
              pod_.annotations.emplace_back(name, value);
            }
          });
        case object_meta::kOwnerReferences:
          return owner(field.bytes());
        default:
          return;
      }
    });
  }

  void owner(std::string_view message) {
    std::string_view kind;
    std::string_view name;
    bool controller = false;
    each_field(message, [&](const Field& field) {
      if (field.number() == owner_reference::kKind) read_text(field, kind);
      if (field.number() == owner_reference::kName) read_text(field, name);
      if (field.number() == owner_reference::kController) controller = field.integer() != 0;
    });
    if (!controller) return;
    pod_.owner_kind = kind;
    pod_.owner_name = name;
  }

  void spec(std::string_view message) {
    each_field(message, [this](const Field& field) {
      switch (field.number()) {
        case pod_spec::kContainers:
          return needs_.containers.push_back(container_need(field.bytes()));
        case pod_spec::kInitContainers:
          return needs_.init_containers.push_back(container_need(field.bytes()));
        case pod_spec::kNodeName:
          return read_text(field, pod_.node_name);
        case pod_spec::kPriority:
          pod_.priority = static_cast<std::int64_t>(field.integer());
          return;
        case pod_spec::kOverhead:
          return quantity(field, needs_.overhead);
        case pod_spec::kResources:
          return resources(field.bytes(), needs_.pod_level);
        default:
          return;
      }
    });
  }

  Need container_need(std::string_view message) {
    Need need;
    each_field(message, [&](const Field& field) {
      if (field.number() == container::kName) read_text(field, need.name);
      if (field.number() == container::kResources) resources(field.bytes(), need.resources);
      if (field.number() == container::kRestartPolicy) need.stays = field.bytes() == "Always";
    });
    return need;
  }

  void resources(std::string_view message, Requirements& out) {
    each_field(message, [&](const Field& field) {
      if (field.number() == resource_requirements::kRequests) quantity(field, out.requests);
      if (field.number() == resource_requirements::kLimits) quantity(field, out.limits);
    });
  }

  void quantity(const Field& entry, ResourceList& out) {
    read_quantity(names_, entry.bytes(), out, pod_.bad_quantities);
  }

  void status(std::string_view message) {
    each_field(message, [this](const Field& field) {
      switch (field.number()) {
        case pod_status::kPhase:
          return read_text(field, pod_.phase);
        case pod_status::kConditions:
          return condition(field.bytes());
        case pod_status::kContainerStatuses:
          needs_.container_states.push_back(container_state(field.bytes(), &starts_));
          return;
        case pod_status::kInitContainerStatuses:
          needs_.init_container_states.push_back(container_state(field.bytes(), nullptr));
          return;
        case pod_status::kAllocatedResources:
          return quantity(field, needs_.pod_state.allocated);
        case pod_status::kResources:
          needs_.pod_state.has_actual = true;
          return resources(field.bytes(), needs_.pod_state.actual);
        default:
          return;
      }
    });
  }

  void condition(std::string_view message) {
    std::string_view type;
    std::string_view reason;
    each_field(message, [&](const Field& field) {
      if (field.number() == pod_condition::kType) read_text(field, type);
      if (field.number() == pod_condition::kReason) read_text(field, reason);
    });
    needs_.condition(type, reason);
  }

  Reported container_state(std::string_view message, Starts* starts) {
    Reported reported;
    std::optional<std::int64_t> at;
    each_field(message, [&](const Field& field) {
      switch (field.number()) {
        case container_status::kName:
          return read_text(field, reported.name);
        case container_status::kState:
          at = started(field.bytes());
          return;
        case container_status::kAllocatedResources:
          return quantity(field, reported.allocated);
        case container_status::kResources:
          return resources(field.bytes(), reported.actual);
        default:
          return;
      }
    });
    if (starts != nullptr) starts->add(at);
    return reported;
  }

  /// Since when a v1.ContainerState runs; none when it does not.
  static std::optional<std::int64_t> started(std::string_view message) {
    std::optional<std::int64_t> at;
    each_field(message, [&](const Field& state) {
      if (state.number() != kStateRunning) return;
      each_field(state.bytes(), [&](const Field& running) {
        if (running.number() == kRunningStartedAt) at = read_time(running.bytes());
      });
    });
    return at;
  }

  const ResourceNames& names_;
  Pod& pod_;
  PodNeeds needs_;
  Starts starts_;
};

void read_node_metadata(std::string_view message, NodeObject& node) {
  each_field(message, [&](const Field& field) {
    if (field.number() == object_meta::kName) read_text(field, node.name);
    if (field.number() == object_meta::kLabels) {
      map_entry(field.bytes(), [&](std::string_view name, std::string_view value) {
        if (name == kZoneLabel && text::utf8_valid(value)) node.zone = value;
      });
    }
    if (field.number() != object_meta::kAnnotations) return;
    map_entry(field.bytes(), [&](std::string_view name, std::string_view value) {
      if (name == kCongestionAnnotation) node.congestion = congestion_of(value);
    });
  });
}

void read_node_spec(std::string_view message, NodeObject& node) {
  each_field(message, [&](const Field& field) {
    if (field.number() != kNodeSpecTaints) return;
    each_field(field.bytes(), [&](const Field& taint) {
      if (taint.number() == kTaintEffect) node.avoided |= taint.bytes() == kAvoidingEffect;
    });
  });
}

void read_node_status(const ResourceNames& names, std::string_view message, NodeObject& node) {
  ResourceList stated;
  each_field(message, [&](const Field& field) {
    if (field.number() == kNodeStatusAllocatable) {
      read_quantity(names, field.bytes(), stated, node.bad_quantities);
    }
  });
  for (std::size_t r = 0; r < kMostResources; ++r) node.allocatable[r] = stated[r];
}

template <class Read>
std::string guarded(const Read& read) {
  try {
    read();
    return {};
  } catch (const protozero::exception& error) {
    return std::string("malformed protobuf: ") + error.what();
  }
}

}  // namespace

std::string read_protobuf_pod(const ResourceNames& names, std::string_view message, Pod& pod) {
  return guarded([&] { PodMessage(names, pod).read(message); });
}

std::string read_protobuf_node(const ResourceNames& names, std::string_view message,
                               NodeObject& node) {
  return guarded([&] {
    each_field(message, [&](const Field& field) {
      if (field.number() == object::kMetadata) read_node_metadata(field.bytes(), node);
      if (field.number() == object::kSpec) read_node_spec(field.bytes(), node);
      if (field.number() == object::kStatus) read_node_status(names, field.bytes(), node);
    });
  });
}

}  // namespace optipod::extender::wire
