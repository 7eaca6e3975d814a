// SPDX-License-Identifier: Apache-2.0
#include "extender/wire/name_list.hpp"

#include <bit>

#include "common/text/scan.hpp"

namespace optipod::extender::wire {
namespace {

constexpr std::string_view kMember = R"(NodeNames":[)";  // its first quote is looked at afterwards
constexpr std::size_t kBlock = 16;
static_assert(kBlock <= NameList::kPadding);

/// Of the sixteen bytes at `p`, a bit each: quotes, and what else a plain name does not hold.
struct Marks {
  unsigned quotes, others;
};
Marks marks_at(const char* p) {
#if OPTIPOD_SCAN
  const text::Block block(p);
  return {block.equal('"'), block.equal('\\') | block.not_text()};
#else
  Marks marks{};
  for (unsigned i = 0; i < kBlock; ++i) {
    const auto c = static_cast<unsigned char>(p[i]);
    marks.quotes |= (c == '"' ? 1U : 0U) << i;
    marks.others |= (c == '\\' || c < ' ' || c >= 0x80 ? 1U : 0U) << i;
  }
  return marks;
#endif
}

/// Whether from `text` on there are `size` plain bytes, and then a quote.
bool ends_after(const char* text, std::size_t size) {
  for (; size >= kBlock; text += kBlock, size -= kBlock) {
    const Marks marks = marks_at(text);
    if ((marks.quotes | marks.others) != 0) return false;
  }
  const Marks marks = marks_at(text);
  const unsigned quote = 1U << size;
  return (marks.quotes & (2 * quote - 1)) == quote && (marks.others & (quote - 1)) == 0;
}

/// The quote that ends the plain name [from, …; null: none before `end`, or no plain name.
const char* end_of_name(const char* from, const char* end) {
  for (; from < end; from += kBlock) {
    const Marks marks = marks_at(from);
    const unsigned all = marks.quotes | marks.others;
    if (all == 0) continue;
    const char* const at = from + std::countr_zero(all);
    return at < end && *at == '"' ? at : nullptr;
  }
  return nullptr;
}

}  // namespace

void NameList::clear() {
  names_.clear();
  rest_size_ = 0;
}

bool NameList::cut(std::string_view text, std::size_t most) {
  clear();
  const std::size_t found = text.find(kMember);
  if (found == std::string_view::npos || found == 0 || text[found - 1] != '"') return false;
  const std::size_t inside = found + kMember.size();
  const char* const end = text.data() + text.size();
  const char* const behind = read(text.data() + inside, end, most);
  if (behind == nullptr) return false;
  const auto tail = static_cast<std::size_t>(end - behind);
  list_at_ = inside - 1;
  rest_size_ = inside + 1 + tail;
  rest_.reserve(rest_size_ + kPadding);
  rest_.assign(text.data(), inside).append("]").append(behind, tail).append(kPadding, ' ');
  return true;
}

/// What is behind the list's bracket; null: it is another kind of list. Names are mostly as long as
/// the one before: where that is so, the next is looked at before the end of this is known.
const char* NameList::read(const char* at, const char* end, std::size_t most) {
  std::size_t size = 0;
  while (end - at > 1 && *at == '"' && names_.size() < most) {
    const char* const name = at + 1;
    if (static_cast<std::size_t>(end - name) <= size || !ends_after(name, size)) {
      const char* const quote = end_of_name(name, end);
      if (quote == nullptr) return nullptr;
      size = static_cast<std::size_t>(quote - name);
    }
    names_.emplace_back(name, size);
    at = name + size + 1;
    if (end - at < 1) return nullptr;
    if (*at == ']') return at + 1;
    if (*at++ != ',') return nullptr;
  }
  return nullptr;
}

}  // namespace optipod::extender::wire
