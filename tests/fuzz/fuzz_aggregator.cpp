// SPDX-License-Identifier: Apache-2.0
//
// What others hand the aggregator, beside pages: any bytes as a match[], as a list of targets, as
// an EndpointSlice in either encoding, as an update of an old profiler. What is taken is what can
// be served.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "aggregator/discovery/endpoint_slices.hpp"
#include "aggregator/discovery/target.hpp"
#include "aggregator/pushed.hpp"
#include "aggregator/selector.hpp"
#include "common/text/parse.hpp"
#include "common/text/utf8.hpp"

namespace {

using namespace optipod;
using namespace optipod::aggregator;

void require(bool holds) {
  if (!holds) std::abort();
}

std::shared_ptr<const Schema> some_series() {
  SchemaBuilder builder;
  builder.add("up", {});
  builder.add("optipod:node_up:last", {{.name = "node", .value = "n"}});
  builder.add("a", {{.name = "b", .value = "two\nlines"}, {.name = "c", .value = "\xc3\xbc"}});
  return builder.finish().value();
}

void fuzz_selector(std::string_view text) {
  static const std::shared_ptr<const Schema> kSchema = some_series();
  static const auto kTarget = LabelSet::of({{"job", "j"}, {"node", "m"}});
  const auto selector = Selector::parse(text);
  if (!selector) {
    require(selector.error().starts_with("1:"));
    return;
  }
  for (std::size_t i = 0; i < kSchema->size(); ++i) {
    const bool both =
        selector->matches_name(kSchema->at(i).name) && selector->matches_labels(kSchema->at(i));
    require(both == selector->matches(kSchema->at(i)));
    // What a target's labels have to say and what they do not are told apart.
    const LabelSet& own = kSchema->label_set(i);
    require(both == (selector->matches_name(kSchema->at(i).name) &&
                     selector->matches_labels(own, LabelSet::none(), false) &&
                     selector->matches_labels(own, LabelSet::none(), true)));
    (void)selector->matches_labels(own, *kTarget, true);
  }
}

void check_target(const Target& target) {
  require(!target.node.empty() && !target.address.empty());
  for (const auto& [name, value] : target.labels) require(text::utf8_valid(value));
  const auto again = make_target(target.address, target_labels(target));
  require(again.has_value() && *again == target);
}

void fuzz_targets(std::string_view text) {
  const auto list = parse_file_sd(text, FileFormat::kJson);
  if (!list) return require(!list.error().empty());
  for (const Target& target : *list) check_target(target);
}

void fuzz_slice(const kube::EncodedObject& object) {
  auto slice = read_endpoint_slice(object);
  if (!slice) return require(!slice.error().empty());
  require(!slice->name.empty() && text::utf8_valid(slice->name));
  EndpointSlices slices("");
  const std::string name = slice->name;
  slices.put(std::move(*slice));
  std::string problem;
  for (const Target& target : slices.targets(problem)) check_target(target);
  slices.erase(name);
  require(slices.targets(problem).empty());
}

struct Count final : text::ParseSink {
  void sample(const text::Sample& sample) override {
    ++samples;
    require(sample.timestamp_ms.has_value());
  }
  std::size_t samples = 0;
};

void fuzz_update(std::string_view text) {
  constexpr std::int64_t kNow = 1'700'000'000'000;
  Pushed pushed;
  const auto taken = pushed.update(text, kNow);
  if (!taken) return require(taken.error().status == 400 && !taken.error().what.empty());
  std::string page;
  pushed.render(kNow, page);
  Count count;
  require(text::parse(page, count).has_value() && count.samples == Pushed::kFields + 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  fuzz_selector(bytes);
  fuzz_targets(bytes);
  fuzz_slice({kube::Encoding::kJson, bytes});
  fuzz_slice({kube::Encoding::kProtobuf, bytes});
  fuzz_update(bytes);
  return 0;
}
