// SPDX-License-Identifier: Apache-2.0
#include "common/kube/protobuf.hpp"

#include "common/kube/protobuf_fields.hpp"

namespace optipod::kube {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kMagic = "k8s\0"sv;

/// What an envelope holds.
struct Envelope {
  std::string_view kind, message;
};

/// Thrown beside protozero's own exceptions, and caught with them.
struct Malformed : protozero::exception {
  explicit Malformed(const char* why) : why_(why) {}
  [[nodiscard]] const char* what() const noexcept override { return why_; }

 private:
  const char* why_;
};

Envelope open(std::string_view bytes) {
  if (!is_protobuf(bytes)) throw Malformed("it does not begin with k8s and a zero byte");
  Envelope out;
  each_field(bytes.substr(kMagic.size()), [&](const Field& field) {
    switch (field.number()) {
      case 1:  // TypeMeta
        each_field(field.bytes(), [&](const Field& type) {
          if (type.number() == 2) out.kind = type.bytes();
        });
        break;
      case 2:
        out.message = field.bytes();
        break;
      case 3:
        if (!field.bytes().empty()) throw Malformed("its content is encoded once more");
        break;
      case 4:
        if (!field.bytes().empty() && field.bytes() != kProtobufType) {
          throw Malformed("its content is not protobuf");
        }
        break;
      default:
        break;
    }
  });
  return out;
}

/// `read`'s result, or why the bytes are no `what`.
template <class Read>
auto guarded(const char* what, const Read& read) -> tl::expected<decltype(read()), std::string> {
  try {
    return read();
  } catch (const protozero::exception& error) {
    return tl::unexpected(std::string("malformed ") + what + " of protobuf: " + error.what());
  }
}

void read_list_metadata(std::string_view message, ListPage& out) {
  each_field(message, [&](const Field& field) {
    if (field.number() == 2) out.resource_version = field.bytes();
    if (field.number() == 3) out.continue_token = field.bytes();
  });
}

/// Every object's first field is its ObjectMeta.
std::string_view version_of(std::string_view object) {
  std::string_view version;
  each_field(object, [&](const Field& field) {
    if (field.number() != 1) return;
    each_field(field.bytes(), [&](const Field& metadata) {
      if (metadata.number() == 6) version = metadata.bytes();
    });
  });
  return version;
}

ApiStatus read_status(std::string_view message) {
  ApiStatus out;
  each_field(message, [&](const Field& field) {
    if (field.number() == 3) out.message = field.bytes();
    if (field.number() == 4) out.reason = field.bytes();
    if (field.number() == 6) {
      const std::uint64_t code = field.integer();
      out.code = code < 1000 ? static_cast<unsigned>(code) : 0;
    }
  });
  return out;
}

}  // namespace

bool is_protobuf(std::string_view body) {
  return body.starts_with(kMagic);
}

bool parse_protobuf_status(std::string_view body, ApiStatus& out) {
  const auto read = guarded("Status", [&] {
    const Envelope envelope = open(body);
    if (envelope.kind != "Status") throw Malformed("it is of another kind");
    return read_status(envelope.message);
  });
  if (read) out = *read;
  return read.has_value();
}

tl::expected<ListPage, std::string> read_protobuf_page(std::string_view body,
                                                       const ObjectSink& object) {
  return guarded("list", [&] {
    const Envelope envelope = open(body);
    if (!envelope.kind.ends_with("List")) throw Malformed("it is of another kind");
    ListPage out;
    each_field(envelope.message, [&](const Field& field) {
      if (field.number() == 1) read_list_metadata(field.bytes(), out);
      if (field.number() != 2) return;
      ++out.objects;
      if (!object(field.bytes())) throw Malformed("more objects than wanted");
    });
    if (out.resource_version.empty()) throw Malformed("no metadata.resourceVersion");
    return out;
  });
}

tl::expected<WatchEvent, std::string> read_protobuf_event(std::string_view frame) {
  std::string_view type;
  auto event = guarded("event", [&] {
    std::string_view envelope;
    each_field(frame, [&](const Field& field) {
      if (field.number() == 1) type = field.bytes();
      if (field.number() != 2) return;
      each_field(field.bytes(), [&](const Field& extension) {
        if (extension.number() == 1) envelope = extension.bytes();
      });
    });
    WatchEvent out;
    if (type == "ERROR") {
      out.object = envelope;
    } else if (!envelope.empty()) {
      out.object = open(envelope).message;
      out.resource_version = version_of(out.object);
    }
    return out;
  });
  if (!event) return event;
  if (const std::string wrong = complete_event(type, *event); !wrong.empty()) {
    return tl::unexpected("malformed event of protobuf: " + wrong);
  }
  return event;
}

}  // namespace optipod::kube
