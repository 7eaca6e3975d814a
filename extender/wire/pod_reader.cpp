// SPDX-License-Identifier: Apache-2.0
#include "extender/wire/pod_reader.hpp"

#include <charconv>
#include <chrono>

namespace optipod::extender::wire {
namespace {

bool digits(std::string_view text, std::size_t at, std::size_t count, int& out) {
  if (text.size() < at + count) return false;
  const auto [end, error] = std::from_chars(text.data() + at, text.data() + at + count, out);
  return error == std::errc() && end == text.data() + at + count && text[at] != '-';
}

Status read_flag(od::value value, bool& out) {
  bool flag = false;
  if (value.get_bool().get(flag) == kOk) out = flag;
  return kOk;
}

}  // namespace

std::optional<std::int64_t> parse_time(std::string_view text) {
  int year = 0;
  int month = 0;
  int day = 0;
  int hour = 0;
  int minute = 0;
  int second = 0;
  if (text.size() < 20 || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' ||
      text[16] != ':' || text.back() != 'Z' || !digits(text, 0, 4, year) ||
      !digits(text, 5, 2, month) || !digits(text, 8, 2, day) || !digits(text, 11, 2, hour) ||
      !digits(text, 14, 2, minute) || !digits(text, 17, 2, second)) {
    return std::nullopt;
  }
  using namespace std::chrono;
  const year_month_day date(std::chrono::year(year),
                            std::chrono::month(static_cast<unsigned>(month)),
                            std::chrono::day(static_cast<unsigned>(day)));
  if (!date.ok() || hour > 23 || minute > 59 || second > 60) return std::nullopt;
  std::int64_t ms = 0;
  if (text[19] == '.') {
    int scale = 100;
    for (std::size_t i = 20; i + 1 < text.size(); ++i, scale /= 10) {
      if (text[i] < '0' || text[i] > '9') return std::nullopt;
      ms += (text[i] - '0') * scale;
    }
  } else if (text.size() != 20) {
    return std::nullopt;
  }
  const auto since = sys_days(date).time_since_epoch() + hours(hour) + minutes(minute);
  return duration_cast<milliseconds>(since).count() + second * std::int64_t{1000} + ms;
}

Status read_quantities(const ResourceNames& names, od::value value, ResourceList& out,
                       unsigned& bad) {
  return members(value, [&](std::string_view key, od::value member) {
    std::string_view text;
    if (!names.find(key)) {  // that it is there counts, what it is does not
      state_quantity(names, key, text, out, bad);
      return kOk;
    }
    const Status status = text_of(member, text);
    if (status == simdjson::INCORRECT_TYPE) {  // a bare number is a quantity, too
      text = member.raw_json_token();
      text = text.substr(0, text.find_last_not_of(" \t\r\n") + 1);
    } else if (status != kOk) {
      return status;
    }
    state_quantity(names, key, text, out, bad);
    return kOk;
  });
}

Status PodReader::read(od::value value) {
  const Status status = members(value, [this](std::string_view key, od::value member) {
    if (same_key(key, "metadata")) return metadata(member);
    if (same_key(key, "spec")) return spec(member);
    if (same_key(key, "status")) return this->status(member);
    return kOk;
  });
  needs_.settle(names_, pod_);
  pod_.running_since_ms = starts_.running_since_ms();
  return status;
}

Status PodReader::metadata(od::value value) {
  return members(value, [this](std::string_view key, od::value member) {
    if (same_key(key, "name")) return read_text(member, pod_.name);
    if (same_key(key, "namespace")) return read_text(member, pod_.name_space);
    if (same_key(key, "uid")) return read_text(member, pod_.uid);
    if (same_key(key, "ownerReferences")) return owners(member);
    if (same_key(key, "labels")) {
      return members(member, [this](std::string_view name, od::value text) {
        return name == "pod-template-hash" ? read_text(text, pod_.template_hash) : kOk;
      });
    }
    if (same_key(key, "annotations")) {
      return members(
          member, [this](std::string_view name, od::value text) { return annotation(name, text); });
    }
    return kOk;
  });
}

Status PodReader::annotation(std::string_view name, od::value value) {
  if (!name.starts_with(kAnnotationPrefix)) return kOk;
  std::string_view content;
  const Status status = read_text(value, content);
  if (status == kOk) pod_.annotations.emplace_back(name, content);
  return status;
}

Status PodReader::owners(od::value value) {
  return elements(value, [this](od::value owner) {
    std::string_view kind;
    std::string_view name;
    bool controller = false;
    const Status status = members(owner, [&](std::string_view key, od::value member) {
      if (same_key(key, "kind")) return read_text(member, kind);
      if (same_key(key, "name")) return read_text(member, name);
      if (same_key(key, "controller")) return read_flag(member, controller);
      return kOk;
    });
    if (controller) {
      pod_.owner_kind = kind;
      pod_.owner_name = name;
    }
    return status;
  });
}

Status PodReader::spec(od::value value) {
  return members(value, [this](std::string_view key, od::value member) {
    if (same_key(key, "containers")) return containers(member, needs_.containers);
    if (same_key(key, "initContainers")) return containers(member, needs_.init_containers);
    if (same_key(key, "overhead")) {
      return quantities(member, needs_.overhead);
    }
    if (same_key(key, "resources")) return resources(member, needs_.pod_level);
    if (same_key(key, "nodeName")) return read_text(member, pod_.node_name);
    if (same_key(key, "affinity")) return affinity(member);
    if (same_key(key, "topologySpreadConstraints")) return spread(member);
    if (same_key(key, "priority")) {
      std::int64_t priority = 0;
      if (member.get_int64().get(priority) == kOk) pod_.priority = priority;
    }
    return kOk;
  });
}

/// Of nodeAffinity, podAffinity and podAntiAffinity alike: whether one has preferences.
Status PodReader::affinity(od::value value) {
  return members(value, [this](std::string_view /*kind*/, od::value rules) {
    return members(rules, [this](std::string_view key, od::value terms) {
      if (!same_key(key, "preferredDuringSchedulingIgnoredDuringExecution")) return kOk;
      return elements(terms, [this](od::value /*term*/) {
        pod_.prefers = true;
        return kOk;
      });
    });
  });
}

Status PodReader::spread(od::value value) {
  return elements(value, [this](od::value constraint) {
    return members(constraint, [this](std::string_view key, od::value member) {
      if (!same_key(key, "whenUnsatisfiable")) return kOk;
      std::string_view action;
      const Status status = read_text(member, action);
      pod_.prefers = pod_.prefers || action == "ScheduleAnyway";
      return status;
    });
  });
}

Status PodReader::status(od::value value) {
  return members(value, [this](std::string_view key, od::value member) {
    if (same_key(key, "phase")) return read_text(member, pod_.phase);
    if (same_key(key, "conditions")) {
      return elements(member, [this](od::value one) { return condition(one); });
    }
    if (same_key(key, "containerStatuses")) {
      return container_states(member, needs_.container_states, true);
    }
    if (same_key(key, "initContainerStatuses")) {
      return container_states(member, needs_.init_container_states, false);
    }
    if (same_key(key, "allocatedResources")) return quantities(member, needs_.pod_state.allocated);
    if (same_key(key, "resources")) {
      od::json_type type{};
      if (const Status read = member.type().get(type); read != kOk) return read;
      needs_.pod_state.has_actual = type == od::json_type::object;
      return resources(member, needs_.pod_state.actual);
    }
    return kOk;
  });
}

Status PodReader::condition(od::value value) {
  std::string_view type;
  std::string_view reason;
  const Status status = members(value, [&](std::string_view key, od::value member) {
    if (same_key(key, "type")) return read_text(member, type);
    return same_key(key, "reason") ? read_text(member, reason) : kOk;
  });
  needs_.condition(type, reason);
  return status;
}

Status PodReader::container_states(od::value value, std::vector<Reported>& out, bool starts) {
  out.clear();
  return elements(value, [&](od::value container) {
    Reported reported;
    std::string_view at;
    const Status status = members(container, [&](std::string_view key, od::value member) {
      if (same_key(key, "name")) return read_text(member, reported.name);
      if (same_key(key, "state")) return started(member, at);
      if (same_key(key, "allocatedResources")) return quantities(member, reported.allocated);
      return same_key(key, "resources") ? resources(member, reported.actual) : kOk;
    });
    if (starts) starts_.add(parse_time(at));
    out.push_back(reported);
    return status;
  });
}

/// Since when a v1.ContainerState runs; `at` stays empty when it does not.
Status PodReader::started(od::value state, std::string_view& at) {
  return members(state, [&at](std::string_view kind, od::value running) {
    if (!same_key(kind, "running")) return kOk;
    return members(running, [&at](std::string_view member, od::value time) {
      return same_key(member, "startedAt") ? read_text(time, at) : kOk;
    });
  });
}

Status PodReader::containers(od::value value, std::vector<Need>& out) {
  out.clear();
  return elements(value, [this, &out](od::value container) {
    Need need;
    const Status status = members(container, [this, &need](std::string_view key, od::value member) {
      if (same_key(key, "name")) return read_text(member, need.name);
      if (same_key(key, "resources")) return resources(member, need.resources);
      if (!same_key(key, "restartPolicy")) return kOk;
      std::string_view policy;
      const Status read = read_text(member, policy);
      need.stays = policy == "Always";
      return read;
    });
    out.push_back(need);
    return status;
  });
}

Status PodReader::resources(od::value value, Requirements& out) {
  return members(value, [&](std::string_view key, od::value member) {
    if (same_key(key, "requests")) return quantities(member, out.requests);
    return same_key(key, "limits") ? quantities(member, out.limits) : kOk;
  });
}

Status PodReader::quantities(od::value value, ResourceList& out) {
  return read_quantities(names_, value, out, pod_.bad_quantities);
}

}  // namespace optipod::extender::wire
