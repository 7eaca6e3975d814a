// SPDX-License-Identifier: Apache-2.0
//
// What a client wants, by its Accept headers. Any bytes are taken; what is not understood names
// nothing.
#pragma once

#include <string_view>

#include "common/text/exposition.hpp"

namespace optipod::http {

/// Whether an Accept-Encoding value takes gzip: a token of its own ("gzip", "x-gzip" or "*") whose
/// q is not 0.
bool accepts_gzip(std::string_view accept_encoding);

/// The exposition format that an Accept value likes best (highest q, then first named). OpenMetrics
/// only by its name and with version 1.0.0 or none, Protobuf only by name, message and encoding;
/// the text format by anything that includes it, and when nothing else is left: a scraper had
/// rather get that than 406.
text::Format accepted_format(std::string_view accept);

}  // namespace optipod::http
