// SPDX-License-Identifier: Apache-2.0
#include "extender/wire/request.hpp"

#include <algorithm>
#include <cstring>
#include <optional>

#define SIMDJSON_EXCEPTIONS 0  // so that no result can be taken without looking at its error
#include <simdjson.h>

#include "common/http/message.hpp"
#include "common/kube/quantity.hpp"

namespace optipod::extender::wire {
namespace {

namespace od = simdjson::ondemand;
static_assert(http::kBodyPadding >= simdjson::SIMDJSON_PADDING);

using Status = simdjson::error_code;
constexpr Status kOk = simdjson::SUCCESS;
constexpr std::string_view kAnnotationPrefix = "optipod.dev/";

bool same_key(std::string_view key, std::string_view wanted) {
  return key.size() == wanted.size() && std::ranges::equal(key, wanted, [](char a, char b) {
           const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? char(c | 0x20) : c; };
           return lower(a) == lower(b);
         });
}

/// Text between brackets deeper than `limit`, strings not counted.
bool nests_deeper(std::string_view json, int limit) {
  int depth = 0;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (c == '"') {
      for (++i; i < json.size() && json[i] != '"'; ++i) i += json[i] == '\\' ? 1 : 0;
    } else if (c == '{' || c == '[') {
      if (++depth > limit) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

/// A string's text without copying it, unless it holds an escape.
Status text_of(od::value value, std::string_view& out) {
  std::string_view token = value.raw_json_token();
  if (token.empty() || token.front() != '"') return simdjson::INCORRECT_TYPE;
  // The token reaches to the next structural character.
  while (token.back() == ' ' || token.back() == '\n' || token.back() == '\r' ||
         token.back() == '\t') {
    token.remove_suffix(1);
  }
  if (token.size() < 2 || token.back() != '"' ||
      std::memchr(token.data(), '\\', token.size()) != nullptr) {
    return value.get_string().get(out);
  }
  out = token.substr(1, token.size() - 2);
  return kOk;
}

/// Calls `each(key, value)` for the members of an object; a value of another type (null, too) has
/// none. A status other than success ends the walk.
template <class Each>
Status members(od::value value, Each each) {
  od::json_type type{};
  if (const Status status = value.type().get(type); status != kOk) return status;
  if (type != od::json_type::object) return kOk;
  od::object object;
  if (const Status status = value.get_object().get(object); status != kOk) return status;
  for (auto field : object) {
    if (field.error() != kOk) return field.error();
    std::string_view key;
    if (const Status status = field.unescaped_key().get(key); status != kOk) return status;
    od::value member;
    if (const Status status = field.value().get(member); status != kOk) return status;
    if (const Status status = each(key, member); status != kOk) return status;
  }
  return kOk;
}

template <class Each>
Status elements(od::value value, Each each) {
  od::json_type type{};
  if (const Status status = value.type().get(type); status != kOk) return status;
  if (type != od::json_type::array) return kOk;
  od::array array;
  if (const Status status = value.get_array().get(array); status != kOk) return status;
  for (auto element : array) {
    od::value one;
    if (const Status status = element.get(one); status != kOk) return status;
    if (const Status status = each(one); status != kOk) return status;
  }
  return kOk;
}

/// A member that should be a string; one of another type counts as absent.
Status read_text(od::value value, std::string_view& out) {
  const Status status = text_of(value, out);
  return status == simdjson::INCORRECT_TYPE ? kOk : status;
}

class PodReader {
 public:
  explicit PodReader(Pod& pod) : pod_(pod) {}

  Status read(od::value value) {
    Status status = members(value, [this](std::string_view key, od::value member) {
      if (same_key(key, "metadata")) return metadata(member);
      if (same_key(key, "spec")) return spec(member);
      return kOk;
    });
    settle(pod_.requests, &Need::requests);
    settle(pod_.limits, &Need::limits);
    return status;
  }

 private:
  struct Maybe {
    std::optional<double> cpu, memory;
  };
  struct Need {
    Maybe requests, limits;
    bool stays = false;  // an init container with restartPolicy Always
  };

  Status metadata(od::value value) {
    return members(value, [this](std::string_view key, od::value member) {
      if (same_key(key, "name")) return read_text(member, pod_.name);
      if (same_key(key, "namespace")) return read_text(member, pod_.name_space);
      if (same_key(key, "uid")) return read_text(member, pod_.uid);
      if (same_key(key, "annotations")) {
        return members(member, [this](std::string_view name, od::value text) {
          if (!name.starts_with(kAnnotationPrefix)) return kOk;
          std::string_view content;
          const Status status = read_text(text, content);
          if (status == kOk) pod_.annotations.emplace_back(name, content);
          return status;
        });
      }
      return kOk;
    });
  }

  Status spec(od::value value) {
    return members(value, [this](std::string_view key, od::value member) {
      if (same_key(key, "containers")) return containers(member, containers_);
      if (same_key(key, "initContainers")) return containers(member, init_containers_);
      if (same_key(key, "overhead")) return quantities(member, overhead_);
      if (same_key(key, "resources")) return resources(member, pod_level_);
      if (same_key(key, "priority")) {
        std::int64_t priority = 0;
        if (member.get_int64().get(priority) == kOk) pod_.priority = priority;
      }
      return kOk;
    });
  }

  Status containers(od::value value, std::vector<Need>& out) {
    out.clear();
    return elements(value, [this, &out](od::value container) {
      Need need;
      const Status status =
          members(container, [this, &need](std::string_view key, od::value member) {
            if (same_key(key, "resources")) return resources(member, need);
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

  Status resources(od::value value, Need& need) {
    return members(value, [this, &need](std::string_view key, od::value member) {
      if (same_key(key, "requests")) return quantities(member, need.requests);
      if (same_key(key, "limits")) return quantities(member, need.limits);
      return kOk;
    });
  }

  Status quantities(od::value value, Maybe& out) {
    return members(value, [this, &out](std::string_view key, od::value member) {
      std::optional<double>* slot = key == "cpu"      ? &out.cpu
                                    : key == "memory" ? &out.memory
                                                      : nullptr;
      if (slot == nullptr) return kOk;
      std::string_view text;
      const Status status = text_of(member, text);
      if (status == simdjson::INCORRECT_TYPE) {  // a bare number is a quantity, too
        text = member.raw_json_token();
        text = text.substr(0, text.find_last_not_of(" \t\r\n") + 1);
      } else if (status != kOk) {
        return status;
      }
      const std::optional<double> amount = kube::parse_quantity(text);
      if (amount && *amount >= 0) {
        *slot = *amount;
      } else {
        ++pod_.bad_quantities;
      }
      return kOk;
    });
  }

  /// resourcehelper.PodRequests of kube-scheduler, for one resource list.
  void settle(Resources& out, Maybe Need::*list) const {
    const auto total = [&](std::optional<double> Maybe::*resource) {
      double running = 0;
      double staying = 0;
      double starting = 0;
      for (const Need& need : containers_) running += (need.*list.*resource).value_or(0);
      for (const Need& need : init_containers_) {
        const double amount = (need.*list.*resource).value_or(0);
        if (need.stays) staying += amount;
        starting = std::max(starting, staying + (need.stays ? 0 : amount));
      }
      const double all = std::max(running + staying, starting);
      return (pod_level_.*list.*resource).value_or(all) + (overhead_.*resource).value_or(0);
    };
    out = {total(&Maybe::cpu), total(&Maybe::memory)};
  }

  Pod& pod_;
  std::vector<Need> containers_, init_containers_;
  Maybe overhead_;
  Need pod_level_;
};

}  // namespace

std::string_view to_string(DecodeCause cause) {
  switch (cause) {
    case DecodeCause::kEmpty:
      return "empty";
    case DecodeCause::kSyntax:
      return "syntax";
    case DecodeCause::kNotArgs:
      return "not_extender_args";
    case DecodeCause::kTooDeep:
      return "too_deep";
    case DecodeCause::kTooLarge:
      return "too_large";
  }
  return "syntax";
}

struct Decoder::Impl {
  od::parser parser;
  Args args;

  Status read(od::value value, std::string_view key) {
    if (same_key(key, "Pod")) {
      args.pod = Pod{};
      return PodReader(args.pod).read(value);
    }
    if (same_key(key, "NodeNames")) return names(value);
    if (same_key(key, "Nodes")) {
      od::json_type type{};
      const Status status = value.type().get(type);
      args.has_nodes = status == kOk && type != od::json_type::null;
      return status;
    }
    return kOk;
  }

  Status names(od::value value) {
    args.node_names.clear();
    od::json_type type{};
    if (const Status status = value.type().get(type); status != kOk) return status;
    if (type == od::json_type::null) {  // judged by its first letter so far
      bool null = false;
      const Status status = value.is_null().get(null);
      return status == kOk && !null ? simdjson::N_ATOM_ERROR : status;
    }
    if (type != od::json_type::array) return simdjson::INCORRECT_TYPE;
    args.has_node_names = true;
    return elements(value, [this](od::value element) {
      std::string_view name;
      const Status status = text_of(element, name);
      args.node_names.push_back(name);
      return status;
    });
  }
};

Decoder::Decoder() : impl_(std::make_unique<Impl>()) {}
Decoder::~Decoder() = default;

tl::expected<const Args*, DecodeError> Decoder::decode(std::string_view body) {
  const auto fail = [](DecodeCause cause, std::string what) {
    return tl::unexpected(DecodeError{cause, std::move(what)});
  };
  const auto broken = [&](Status status) {
    const DecodeCause cause = status == simdjson::EMPTY            ? DecodeCause::kEmpty
                              : status == simdjson::DEPTH_ERROR    ? DecodeCause::kTooDeep
                              : status == simdjson::INCORRECT_TYPE ? DecodeCause::kNotArgs
                                                                   : DecodeCause::kSyntax;
    return fail(cause, simdjson::error_message(status));
  };
  if (body.empty()) return fail(DecodeCause::kEmpty, "no body");

  Args& args = impl_->args;
  args.pod = Pod{};
  args.node_names.clear();
  args.has_node_names = args.has_nodes = false;

  od::document document;
  const simdjson::padded_string_view padded(body.data(), body.size(),
                                            body.size() + simdjson::SIMDJSON_PADDING);
  if (const Status status = impl_->parser.iterate(padded).get(document); status != kOk) {
    return broken(status);
  }
  od::object root;
  if (const Status status = document.get_object().get(root); status != kOk) return broken(status);
  // The text of what is not a list of names is checked for depth: on-demand skips any depth.
  const char* from = nullptr;
  const auto deep = [&](const char* end) {
    return from != nullptr && nests_deeper({from, static_cast<std::size_t>(end - from)}, kMaxDepth);
  };
  for (auto field : root) {
    if (field.error() != kOk) return broken(field.error());
    od::raw_json_string raw_key;
    if (const Status status = field.key().get(raw_key); status != kOk) return broken(status);
    const char* at = raw_key.raw() - 1;  // its opening quote
    if (deep(at)) return fail(DecodeCause::kTooDeep, "nested too deep");
    std::string_view key;
    if (const Status status = field.unescaped_key().get(key); status != kOk) return broken(status);
    from = same_key(key, "NodeNames") ? nullptr : at;
    od::value value;
    if (const Status status = field.value().get(value); status != kOk) return broken(status);
    if (const Status status = impl_->read(value, key); status != kOk) return broken(status);
  }
  if (deep(body.data() + body.size())) return fail(DecodeCause::kTooDeep, "nested too deep");
  return &args;
}

}  // namespace optipod::extender::wire
