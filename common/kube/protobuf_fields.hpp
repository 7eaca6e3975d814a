// SPDX-License-Identifier: Apache-2.0
//
// Steps through protobuf with protozero, for readers of Kubernetes' messages only: nothing here is
// seen outside. No recursion: a reader opens the messages it knows, and skips all others.
#pragma once

#include <cstdint>
#include <string_view>

#include <protozero/pbf_reader.hpp>

namespace optipod::kube {

/// A field is of another type than the message says. Like all that protozero throws: bytes that
/// cannot be read as the message they should be.
struct WrongFieldType : protozero::exception {
  [[nodiscard]] const char* what() const noexcept override {
    return "a field has another type than it should";
  }
};

class Field {
 public:
  /// At the field that `reader` has come to; takes its value.
  explicit Field(protozero::pbf_reader& reader) : number_(reader.tag()), type_(reader.wire_type()) {
    if (type_ == protozero::pbf_wire_type::length_delimited) {
      const protozero::data_view view = reader.get_view();
      bytes_ = {view.data(), view.size()};
    } else if (type_ == protozero::pbf_wire_type::varint) {
      integer_ = reader.get_uint64();
    } else {
      reader.skip();
    }
  }

  [[nodiscard]] std::uint32_t number() const { return number_; }
  /// Of a string, bytes or a message.
  [[nodiscard]] std::string_view bytes() const {
    require(protozero::pbf_wire_type::length_delimited);
    return bytes_;
  }
  /// Of an integer or bool; a negative one as its two's complement.
  [[nodiscard]] std::uint64_t integer() const {
    require(protozero::pbf_wire_type::varint);
    return integer_;
  }

 private:
  void require(protozero::pbf_wire_type type) const {
    if (type_ != type) throw WrongFieldType();
  }

  std::uint32_t number_;
  protozero::pbf_wire_type type_;
  std::uint64_t integer_ = 0;
  std::string_view bytes_;
};

/// Calls `each` with every field of a message, in their order. Throws protozero::exception.
template <class Each>
void each_field(std::string_view message, const Each& each) {
  protozero::pbf_reader reader(message.data(), message.size());
  while (reader.next()) each(Field(reader));
}

/// Calls `each(key, value)` with an entry of map<string, …>; the value's bytes.
template <class Each>
void map_entry(std::string_view entry, const Each& each) {
  std::string_view key;
  std::string_view value;
  each_field(entry, [&](const Field& field) {
    if (field.number() == 1) key = field.bytes();
    if (field.number() == 2) value = field.bytes();
  });
  each(key, value);
}

}  // namespace optipod::kube
