// SPDX-License-Identifier: Apache-2.0
#include "aggregator/value_texts.hpp"

#include <cstring>

#include "aggregator/series.hpp"
#include "common/text/exposition.hpp"

namespace optipod::aggregator {

ValueTexts::ValueTexts(std::span<const double> values) : texts_(values.size()) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (is_stale(values[i])) continue;
    char text[text::kNumberRoom];
    const auto size = static_cast<std::size_t>(text::write_number(text, values[i]) - text);
    std::memcpy(texts_[i].bytes, text, size);
    texts_[i].size = static_cast<std::uint8_t>(size);
  }
}

}  // namespace optipod::aggregator
