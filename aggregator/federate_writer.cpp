// SPDX-License-Identifier: Apache-2.0
#include "aggregator/federate_writer.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>

#include "common/text/protobuf.hpp"

namespace optipod::aggregator {
namespace {

/// Of a source, line by line.
class Times {
 public:
  Times(const FederatedGroup& group, std::size_t i)
      : group_(group), source_(group.sources()[i]), i_(i) {}

  [[nodiscard]] bool alive(const Selection::Line& line) const {
    if (source_.plain) return line.measured != 0 ? source_.measured_alive : source_.scraped_alive;
    const SeriesSet& set = group_.set(i_);
    const std::int64_t age = set.max_age_ms.empty() ? std::numeric_limits<std::int64_t>::max()
                                                    : set.max_age_ms[line.series];
    return group_.window().holds(set.time_ms(line.series), age);
  }

  char* put(const Selection::Line& line, char* to) const {
    if (!source_.plain) return TimeText(group_.set(i_).time_ms(line.series)).put(to);
    return (line.measured != 0 ? source_.measured : group_.scraped(i_)).put(to);
  }

 private:
  const FederatedGroup& group_;
  const FederatedSet& source_;
  const std::size_t i_;
};

/// Writes past the end of the text, up to kCopySlack bytes, and reads as many: a call of memcpy
/// takes longer than most texts.
char* put(char* to, std::string_view text) {
  for (std::size_t i = 0; i < text.size(); i += kCopySlack)
    std::memcpy(to + i, text.data() + i, kCopySlack);
  return to + text.size();
}

/// Bytes on their way into a string, which cannot be written behind its end.
class Block {
 public:
  /// Room for `size` bytes; what was written to it begins there and ends where ended() is told.
  char* room(std::size_t size, std::string& out) {
    if (size > size_ - used_) make_room(size, out);
    return bytes_.get() + used_;
  }
  void ended(const char* end) { used_ = static_cast<std::size_t>(end - bytes_.get()); }
  void flush(std::string& out) {
    out.append(bytes_.get(), used_);
    used_ = 0;
  }

 private:
  void make_room(std::size_t size, std::string& out) {
    flush(out);
    if (size <= size_) return;
    size_ = std::max(size, std::size_t{16} * 1024);  // it stays in the CPU's nearest cache
    bytes_ = std::make_unique_for_overwrite<char[]>(size_);
  }

  std::unique_ptr<char[]> bytes_;
  std::size_t size_ = 0, used_ = 0;
};

std::span<const Selection::Line> lines_of(const FederatedGroup& group, const Selection::Run& run) {
  return group.selection().lines().subspan(run.begin, run.end - run.begin);
}

class TextWriter final : public FederateWriter {
 public:
  void begin(std::string_view name) override { name_ = name; }
  void end(std::string& out) override { block_.flush(out); }

  std::size_t write(const FederatedGroup& group, const Selection::Run& run, std::size_t from,
                    std::size_t to, std::size_t enough, std::string& out) override {
    constexpr std::size_t kAhead = 16;  // sources: memory takes as long as writing these
    const auto& sources = group.sources();
    const auto lines = lines_of(group, run);
    for (; from < to && out.size() < enough; ++from) {
      if (from + kAhead < to) prefetch(sources[from + kAhead], lines.front());
      write_lines(group, lines, from, out);
    }
    return from;
  }

 private:
  static void prefetch(const FederatedSet& source, const Selection::Line& line) {
    if (source.packed != nullptr) {
      __builtin_prefetch(&source.packed[line.series]);
    } else {
      __builtin_prefetch(&source.values[line.series]);
    }
  }

  void write_lines(const FederatedGroup& group, std::span<const Selection::Line> lines,
                   std::size_t i, std::string& out) {
    const Selection& selection = group.selection();
    const FederatedSet& source = group.sources()[i];
    const std::size_t longest = selection.longest_line() + group.longest_labels() + kCopySlack +
                                text::kNumberRoom + TimeText::kRoom;
    const Times times(group, i);
    for (const Selection::Line& line : lines) {
      const PackedNumber* packed = source.packed == nullptr ? nullptr : &source.packed[line.series];
      const double value = packed == nullptr ? source.values[line.series] : 0;
      if (packed == nullptr ? is_stale(value) : packed->absent()) continue;
      if (!times.alive(line)) continue;
      if (!name_.empty()) write_head(out);
      char* at = block_.room(longest, out);
      for (const Selection::Piece& piece : selection.pieces(line)) {
        at = put(at, selection.text(piece));
        if (piece.cut != Selection::kNoCut) at = put(at, group.cut(source, piece.cut));
      }
      static_assert(PackedNumber::kRoom <= text::kNumberRoom);
      at = packed != nullptr ? packed->unpack(at) : text::write_number(at, value);
      block_.ended(times.put(line, at));
      ++written_;
    }
  }

  void write_head(std::string& out) {
    block_.flush(out);
    out.append("# TYPE ").append(name_).append(" untyped\n");
    name_ = {};
  }

  Block block_;
  std::string_view name_;  ///< of a family whose head is not written
};

/// Delimited io.prometheus.client.MetricFamily, labels in the order of the text.
class ProtobufWriter final : public FederateWriter {
 public:
  explicit ProtobufWriter(const LabelPairs& gaps) : gaps_(gaps) {}

  void begin(std::string_view name) override {
    family_.clear();
    text::protobuf::add_bytes(family_, text::protobuf::family_field::kName, name);
    text::protobuf::add_integer(family_, text::protobuf::family_field::kType,
                                text::protobuf::kUntypedType);
    head_ = family_.size();
  }
  void end(std::string& out) override {
    if (family_.size() == head_) return;
    text::protobuf::append_varint(out, family_.size());
    out.append(family_);
  }

  std::size_t write(const FederatedGroup& group, const Selection::Run& run, std::size_t from,
                    std::size_t to, std::size_t, std::string&) override {
    for (; from < to; ++from) {
      const SeriesSet& set = group.set(from);
      const Times times(group, from);
      for (const Selection::Line& line : lines_of(group, run)) {
        const double value = set.value(line.series);
        if (is_stale(value) || !times.alive(line)) continue;
        write_line(set, line.series, value);
      }
    }
    return to;
  }

 private:
  void write_line(const SeriesSet& set, std::size_t series, double value) {
    namespace field = text::protobuf::metric_field;
    metric_.clear();
    labels(set.schema->label_set(series), set.labels ? *set.labels : LabelSet::none());
    inner_.clear();
    text::protobuf::add_double(inner_, text::protobuf::kValue, value);
    text::protobuf::add_bytes(metric_, field::kUntyped, inner_);
    text::protobuf::add_integer(metric_, field::kTimestampMs,
                                static_cast<std::uint64_t>(set.time_ms(series)));
    text::protobuf::add_bytes(family_, text::protobuf::family_field::kMetric, metric_);
    ++written_;
  }

  void labels(const LabelSet& own, const LabelSet& target) {
    const auto a = own.labels(), b = target.labels();
    for (std::size_t i = 0, k = 0; i < a.size() || k < b.size();) {
      const bool from_b = i == a.size() || (k < b.size() && b[k].name < a[i].name);
      const text::Label& label = from_b ? b[k++] : a[i++];
      add(label.name, label.value);
    }
    for (const auto& [name, value] : gaps_) {
      if (own.value(name).empty() && target.value(name).empty()) add(name, value);
    }
  }
  void add(std::string_view name, std::string_view value) {
    inner_.clear();
    text::protobuf::add_bytes(inner_, text::protobuf::kFirst, name);
    text::protobuf::add_bytes(inner_, text::protobuf::kSecond, value);
    text::protobuf::add_bytes(metric_, text::protobuf::metric_field::kLabel, inner_);
  }

  const LabelPairs& gaps_;
  std::string family_, metric_, inner_;
  std::size_t head_ = 0;
};

}  // namespace

TimeText::TimeText(std::int64_t ms) {
  text_[0] = ' ';
  char* end = std::to_chars(text_ + 1, text_ + sizeof text_ - 1, ms).ptr;
  *end++ = '\n';
  size_ = static_cast<std::uint8_t>(end - text_);
}

bool FederatedGroup::is_plain(const SeriesSet& set) const {
  if (!set.own_ms.empty()) return false;
  if (set.max_age_ms.empty()) return true;
  constexpr std::size_t kWorthLooking = 8;  // with fewer lines their own ages are looked at sooner
  if (selection_.lines().size() < kWorthLooking) return false;
  const std::int64_t least = *std::min_element(set.max_age_ms.begin(), set.max_age_ms.end());
  return window_.holds(set.scraped_ms, least) && window_.holds(set.measured_ms, least);
}

void FederatedGroup::add(const SeriesSet& set, const LabelSet& labels, std::uint32_t place) {
  constexpr std::int64_t kAnyAge = std::numeric_limits<std::int64_t>::max();
  sources_.push_back({.values = set.values.data(),
                      .packed = set.packed.get(),
                      .measured = TimeText(set.measured_ms),
                      .cuts = static_cast<std::uint32_t>(cuts_.size()),
                      .at = place,
                      .plain = is_plain(set),
                      .scraped_alive = window_.holds(set.scraped_ms, kAnyAge),
                      .measured_alive = window_.holds(set.measured_ms, kAnyAge)});
  rest_.push_back({&set, TimeText(set.scraped_ms)});
  text_.resize(text_.size() - kCopySlack);
  const auto begin = static_cast<std::uint32_t>(text_.size());
  text_.append(labels.text());
  for (const Selection::Cut& cut : selection_.cuts()) {
    const std::string_view text = labels.text(cut.from, cut.to);
    cuts_.push_back({begin + static_cast<std::uint32_t>(text.data() - labels.text().data()),
                     static_cast<std::uint32_t>(text.size())});
  }
  text_.append(kCopySlack, '\0');
  longest_ = std::max(longest_, labels.text().size());
}

std::unique_ptr<FederateWriter> FederateWriter::make(text::Format format, const LabelPairs& gaps) {
  if (format == text::Format::kProtobuf) return std::make_unique<ProtobufWriter>(gaps);
  return std::make_unique<TextWriter>();
}

}  // namespace optipod::aggregator
