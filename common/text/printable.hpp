// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace optipod::text {

/// Foreign bytes for a message: at most 40 of them, those that are not printable ASCII as \xNN.
std::string printable(std::string_view s);

}  // namespace optipod::text
