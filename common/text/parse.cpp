// SPDX-License-Identifier: Apache-2.0
#include "common/text/parse.hpp"

#include "common/text/ordinary_lines.hpp"
#include "common/text/plain_parser.hpp"

namespace optipod::text {

std::string_view Sample::label(std::string_view label_name) const {
  if (labels != nullptr) {
    for (const Label& label : *labels) {
      if (label.name == label_name) return label.value;
    }
  }
  return {};
}

tl::expected<std::size_t, ParseError> parse(std::string_view body, ParseSink& sink) {
  OrdinaryLines ordinary(body, sink);
  PlainParser plain(body, sink);
  const char* const end = body.data() + body.size();
  for (const char* p = ordinary.lines_at(body.data()); p != end; p = ordinary.lines_at(p)) {
    p = plain.line_at(p);
    if (p == nullptr) return tl::unexpected(plain.error());
  }
  return ordinary.samples() + plain.samples();
}

}  // namespace optipod::text
