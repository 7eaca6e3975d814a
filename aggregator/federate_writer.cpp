// SPDX-License-Identifier: Apache-2.0
#include "aggregator/federate_writer.hpp"

#include <algorithm>
#include <charconv>

#include "common/text/protobuf.hpp"

namespace optipod::aggregator {
namespace {

class TextWriter final : public FederateWriter {
 public:
  TextWriter(Window window, std::string& out) : FederateWriter(window), out_(out) {}

  void begin(std::string_view name) override { name_ = name; }
  void end() override {}

 private:
  void line(const Selection& selection, const Selection::Line& line, const FederatedSet& source,
            double value, const TimeText& time) override {
    if (!name_.empty()) {
      out_.append("# TYPE ").append(name_).append(" untyped\n");
      name_ = {};
    }
    for (const Selection::Piece& piece : selection.pieces(line)) {
      out_.append(selection.text(piece));
      if (piece.to == piece.from) continue;
      const bool all = std::size_t{piece.to} - piece.from == source.labels->labels().size();
      out_.append(all ? source.label_text : source.labels->text(piece.from, piece.to));
    }
    text::append_number(out_, value);
    out_.push_back(' ');
    out_.append(time.text());
  }

  std::string& out_;
  std::string_view name_;  ///< of a family whose head is not written
};

/// Delimited io.prometheus.client.MetricFamily, labels in the order of the text.
class ProtobufWriter final : public FederateWriter {
 public:
  ProtobufWriter(Window window, const LabelPairs& gaps, std::string& out)
      : FederateWriter(window), gaps_(gaps), out_(out) {}

  void begin(std::string_view name) override {
    family_.clear();
    text::protobuf::add_bytes(family_, text::protobuf::family_field::kName, name);
    text::protobuf::add_integer(family_, text::protobuf::family_field::kType,
                                text::protobuf::kUntypedType);
    head_ = family_.size();
  }
  void end() override {
    if (family_.size() == head_) return;
    text::protobuf::append_varint(out_, family_.size());
    out_.append(family_);
  }

 private:
  void line(const Selection&, const Selection::Line& line, const FederatedSet& source, double value,
            const TimeText& time) override {
    namespace field = text::protobuf::metric_field;
    metric_.clear();
    labels(source.set->schema->label_set(line.series), *source.labels);
    inner_.clear();
    text::protobuf::add_double(inner_, text::protobuf::kValue, value);
    text::protobuf::add_bytes(metric_, field::kUntyped, inner_);
    text::protobuf::add_integer(metric_, field::kTimestampMs,
                                static_cast<std::uint64_t>(time.ms()));
    text::protobuf::add_bytes(family_, text::protobuf::family_field::kMetric, metric_);
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
  std::string& out_;
  std::string family_, metric_, inner_;
  std::size_t head_ = 0;
};

}  // namespace

TimeText::TimeText(std::int64_t ms) : ms_(ms) {
  char* end = std::to_chars(text_, text_ + sizeof text_ - 1, ms).ptr;
  *end++ = '\n';
  size_ = static_cast<std::uint8_t>(end - text_);
}

std::unique_ptr<FederateWriter> FederateWriter::make(text::Format format, Window window,
                                                     const LabelPairs& gaps, std::string& out) {
  if (format == text::Format::kProtobuf) {
    return std::make_unique<ProtobufWriter>(window, gaps, out);
  }
  return std::make_unique<TextWriter>(window, out);
}

void FederateWriter::write(const Selection& selection, const Selection::Run& run,
                           const FederatedSet& source) {
  const SeriesSet& set = *source.set;
  for (const auto& at : selection.lines().subspan(run.begin, run.end - run.begin)) {
    const double value = source.values[at.series];
    if (is_stale(value)) continue;
    const TimeText* time = set.schema->measured(at.series) ? &source.measured : &source.scraped;
    if (!set.own_ms.empty() && set.own_ms[at.series] != kNoTime) {
      own_ = TimeText(set.own_ms[at.series]);
      time = &own_;
    }
    std::int64_t age = window_.lookback_ms;
    if (!set.max_age_ms.empty()) age = std::min(age, set.max_age_ms[at.series]);
    // A clock that was set back makes times that lie ahead.
    if (time->ms() < window_.now_ms - age || time->ms() > window_.now_ms) continue;
    line(selection, at, source, value, *time);
    ++written_;
  }
}

}  // namespace optipod::aggregator
