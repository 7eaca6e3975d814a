// SPDX-License-Identifier: Apache-2.0
#include "extender/wire/request.hpp"

#include <optional>

#include "common/http/message.hpp"
#include "extender/wire/name_list.hpp"
#include "extender/wire/pod_reader.hpp"

namespace optipod::extender::wire {

static_assert(http::kBodyPadding >= simdjson::SIMDJSON_PADDING);
static_assert(http::kBodyPadding >= NameList::kPadding);
static_assert(NameList::kPadding >= simdjson::SIMDJSON_PADDING);
namespace {

DecodeError broken(Status status) {
  const DecodeCause cause = status == simdjson::EMPTY            ? DecodeCause::kEmpty
                            : status == simdjson::DEPTH_ERROR    ? DecodeCause::kTooDeep
                            : status == simdjson::INCORRECT_TYPE ? DecodeCause::kNotArgs
                            : status == simdjson::CAPACITY       ? DecodeCause::kTooLarge
                                                                 : DecodeCause::kSyntax;
  return {cause, cause == DecodeCause::kTooLarge
                     ? "more than " + std::to_string(Decoder::kMostNames) + " nodes or victims"
                     : simdjson::error_message(status)};
}

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
  explicit Impl(ResourceNames resource_names) : names(std::move(resource_names)) {}

  od::parser parser;
  Args args;
  ResourceNames names;
  NameList ahead;           ///< names read before the text is
  bool took_ahead = false;  ///< they were those of the request

  void clear() {
    args.pod = Pod{};
    args.node_names.clear();
    args.victims.clear();
    args.victim_uids.clear();
    args.has_node_names = args.has_nodes = args.has_victims = false;
    args.pod_name = args.pod_namespace = args.pod_uid = args.node = {};
    took_ahead = false;
  }

  std::optional<DecodeError> parse(std::string_view text);

  Status read(od::value value, std::string_view key) {
    if (same_key(key, "Pod")) {
      args.pod = Pod{};
      return PodReader(names, args.pod).read(value);
    }
    if (same_key(key, "NodeNames")) return node_names(value);
    if (same_key(key, "Nodes")) return nodes(value);
    // nodeToVictims: its name up to Kubernetes 1.17.
    if (same_key(key, "NodeNameToVictims") || same_key(key, "NodeNameToMetaVictims") ||
        same_key(key, "nodeToVictims")) {
      return victims(value);
    }
    if (same_key(key, "PodName")) return read_text(value, args.pod_name);
    if (same_key(key, "PodNamespace")) return read_text(value, args.pod_namespace);
    if (same_key(key, "PodUID")) return read_text(value, args.pod_uid);
    if (same_key(key, "Node")) return read_text(value, args.node);
    return kOk;
  }

  Status node_names(od::value value) {
    od::json_type type{};
    if (const Status status = value.type().get(type); status != kOk) return status;
    if (type == od::json_type::null) {  // judged by its first letter so far
      bool null = false;
      const Status status = value.is_null().get(null);
      return status == kOk && !null ? simdjson::N_ATOM_ERROR : status;
    }
    if (type != od::json_type::array) return simdjson::INCORRECT_TYPE;
    args.has_node_names = true;
    if (ahead.is_at(value.raw_json_token().data())) {
      args.node_names.swap(ahead.names());
      took_ahead = true;
      return kOk;
    }
    args.node_names.clear();
    return elements(value, [this](od::value element) {
      std::string_view name;
      const Status status = text_of(element, name);
      return status == kOk ? add(args.node_names, name) : status;
    });
  }

  /// A v1.NodeList: the names of its nodes, unless NodeNames gave them.
  Status nodes(od::value value) {
    od::json_type type{};
    if (const Status status = value.type().get(type); status != kOk) return status;
    args.has_nodes = type != od::json_type::null;
    return members(value, [this](std::string_view key, od::value list) {
      if (!same_key(key, "items") || args.has_node_names) return kOk;
      return elements(list, [this](od::value node) {
        std::string_view name;
        const Status status = members(node, [&name](std::string_view part, od::value metadata) {
          if (!same_key(part, "metadata")) return kOk;
          return members(metadata, [&name](std::string_view member, od::value text) {
            return same_key(member, "name") ? read_text(text, name) : kOk;
          });
        });
        return status == kOk ? add(args.node_names, name) : status;
      });
    });
  }

  /// The other of the two maps is null.
  Status victims(od::value value) {
    od::json_type type{};
    if (const Status status = value.type().get(type); status != kOk) return status;
    if (type == od::json_type::null) return kOk;
    if (type != od::json_type::object) return simdjson::INCORRECT_TYPE;
    args.has_victims = true;
    return members(value, [this](std::string_view node, od::value entry) {
      Victims v{.node = node, .first = args.victim_uids.size()};
      const Status status = members(entry, [this, &v](std::string_view key, od::value member) {
        if (same_key(key, "Pods"))
          return elements(member, [this](od::value p) { return victim(p); });
        if (same_key(key, "NumPDBViolations")) {
          std::int64_t violations = 0;
          if (member.get_int64().get(violations) == kOk) v.pdb_violations = violations;
        }
        return kOk;
      });
      v.count = args.victim_uids.size() - v.first;
      return status == kOk ? add(args.victims, v) : status;
    });
  }

  /// {"UID":…} or a whole pod; one without a UID could not be named in the answer.
  Status victim(od::value pod) {
    std::string_view uid;
    const Status status = members(pod, [&uid](std::string_view key, od::value member) {
      if (same_key(key, "UID")) return read_text(member, uid);
      if (!same_key(key, "metadata")) return kOk;
      return members(member, [&uid](std::string_view name, od::value text) {
        return same_key(name, "uid") ? read_text(text, uid) : kOk;
      });
    });
    if (status != kOk || uid.empty()) return status;
    return add(args.victim_uids, uid);
  }

  template <class T>
  static Status add(std::vector<T>& list, const T& one) {
    if (list.size() == kMostNames) return simdjson::CAPACITY;
    list.push_back(one);
    return kOk;
  }
};

Decoder::Decoder(ResourceNames names) : impl_(std::make_unique<Impl>(std::move(names))) {}
Decoder::~Decoder() = default;

/// `text` must be followed by http::kBodyPadding readable bytes.
std::optional<DecodeError> Decoder::Impl::parse(std::string_view text) {
  clear();
  const DecodeError too_deep{DecodeCause::kTooDeep, "nested too deep"};
  od::document document;
  const simdjson::padded_string_view padded(text.data(), text.size(),
                                            text.size() + simdjson::SIMDJSON_PADDING);
  if (const Status status = parser.iterate(padded).get(document); status != kOk) {
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
    if (deep(at)) return too_deep;
    std::string_view key;
    if (const Status status = field.unescaped_key().get(key); status != kOk) return broken(status);
    from = same_key(key, "NodeNames") ? nullptr : at;
    od::value value;
    if (const Status status = field.value().get(value); status != kOk) return broken(status);
    if (const Status status = read(value, key); status != kOk) return broken(status);
  }
  if (deep(text.data() + text.size())) return too_deep;
  return std::nullopt;
}

tl::expected<const Args*, DecodeError> Decoder::decode(std::string_view body) {
  if (body.empty()) return tl::unexpected(DecodeError{DecodeCause::kEmpty, "no body"});
  if (impl_->ahead.cut(body, kMostNames)) {
    if (!impl_->parse(impl_->ahead.rest()) && impl_->took_ahead) return &impl_->args;
    impl_->ahead.clear();  // what looked like the list was none: once more, as a whole
  }
  if (auto error = impl_->parse(body)) return tl::unexpected(std::move(*error));
  return &impl_->args;
}

}  // namespace optipod::extender::wire
