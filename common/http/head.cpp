// SPDX-License-Identifier: Apache-2.0
#include "common/http/head.hpp"

#include <algorithm>

#include <boost/beast/http/basic_parser.hpp>

namespace optipod::http {
namespace {

namespace beast = boost::beast;
using BeastError = beast::error_code;
using BeastView = beast::string_view;

std::string_view view(BeastView s) {
  return {s.data(), s.size()};
}

/// Keeps views instead of copies: the whole head lies in one piece of memory.
template <bool kRequest>
class Parser final : public beast::http::basic_parser<kRequest> {
 public:
  Parser(std::string_view bytes, Head& out) : bytes_(bytes), out_(out) {
    this->header_limit(static_cast<std::uint32_t>(std::min<std::size_t>(bytes.size(), 1U << 30)));
    this->body_limit(boost::none);
    this->eager(false);
  }

  tl::expected<void, std::string> run() {
    BeastError error;
    const std::size_t used =
        this->put(boost::asio::const_buffer(bytes_.data(), bytes_.size()), error);
    if (error == beast::http::error::need_more) {
      return tl::unexpected<std::string>("malformed head");
    }
    if (error) return tl::unexpected(error.message());
    if (!this->is_header_done() || used != bytes_.size()) {
      return tl::unexpected<std::string>("malformed head");
    }
    if (complaint_ != nullptr) return tl::unexpected<std::string>(complaint_);
    return framing();
  }

 private:
  tl::expected<void, std::string> framing() {
    out_.chunked = this->chunked();
    out_.keep_alive = this->keep_alive();
    if (const auto length = this->content_length()) out_.content_length = *length;
    if (lengths_ > 1) return tl::unexpected<std::string>("more than one Content-Length");
    if (encodings_ > 1 || (encodings_ == 1 && !out_.chunked)) {
      return tl::unexpected<std::string>("a Transfer-Encoding other than chunked");
    }
    if (out_.chunked && out_.version < 11) {
      return tl::unexpected<std::string>("Transfer-Encoding in HTTP/1.0");
    }
    if (kRequest && (hosts_ > 1 || (hosts_ == 0 && out_.version >= 11))) {
      return tl::unexpected<std::string>("not exactly one Host");
    }
    return {};
  }

  void on_request_impl(beast::http::verb, BeastView method, BeastView target, int version,
                       BeastError&) override {
    out_.method = view(method);
    out_.target = view(target);
    out_.version = static_cast<unsigned>(version);
  }
  void on_response_impl(int status, BeastView, int version, BeastError&) override {
    out_.status = static_cast<unsigned>(status);
    out_.version = static_cast<unsigned>(version);
  }
  void on_field_impl(beast::http::field id, BeastView name, BeastView value, BeastError&) override {
    // A folded line is joined in Beast's own memory: obsolete, and refused.
    const bool inside = value.empty() || (value.data() >= bytes_.data() &&
                                          value.data() < bytes_.data() + bytes_.size());
    if (!inside) {
      complaint_ = "a folded header line";
      return;
    }
    if (id == beast::http::field::content_length) {
      ++lengths_;
      const bool digits =
          std::all_of(value.begin(), value.end(), [](char c) { return c >= '0' && c <= '9'; });
      if (!digits) complaint_ = "a malformed Content-Length";
    } else if (id == beast::http::field::transfer_encoding) {
      ++encodings_;
      if (!equals_no_case(view(value), "chunked")) {
        complaint_ = "a Transfer-Encoding other than chunked";
      }
    } else if (id == beast::http::field::host) {
      ++hosts_;
    }
    out_.fields.push_back({view(name), view(value)});
  }
  void on_header_impl(BeastError&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>&, BeastError&) override {}
  std::size_t on_body_impl(BeastView body, BeastError&) override { return body.size(); }
  void on_chunk_header_impl(std::uint64_t, BeastView, BeastError&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, BeastView body, BeastError&) override {
    return body.size();
  }
  void on_finish_impl(BeastError&) override {}

  std::string_view bytes_;
  Head& out_;
  int lengths_ = 0, encodings_ = 0, hosts_ = 0;
  const char* complaint_ = nullptr;
};

template <bool kRequest>
tl::expected<void, std::string> parse_head(std::string_view bytes, Head& out) {
  auto fields = std::move(out.fields);
  fields.clear();
  out = Head{};
  out.fields = std::move(fields);
  return Parser<kRequest>(bytes, out).run();
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

}  // namespace

bool equals_no_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

bool list_has_token(std::string_view list, std::string_view token) {
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(','), list.size());
    std::string_view item = list.substr(0, end);
    list.remove_prefix(std::min(end + 1, list.size()));
    const std::size_t first = item.find_first_not_of(" \t");
    if (first == std::string_view::npos) continue;
    item = item.substr(first, item.find_last_not_of(" \t") - first + 1);
    if (equals_no_case(item, token)) return true;
  }
  return false;
}

bool header_is_safe(std::string_view name, std::string_view value) {
  constexpr std::string_view kBreaks("\r\n\0", 3);
  return !name.empty() && name.find_first_of(kBreaks) == std::string_view::npos &&
         name.find(':') == std::string_view::npos &&
         value.find_first_of(kBreaks) == std::string_view::npos;
}

std::string_view Head::field(std::string_view name) const {
  for (const Field& f : fields) {
    if (equals_no_case(f.name, name)) return f.value;
  }
  return {};
}

std::size_t head_length(std::string_view bytes, std::size_t from) {
  const std::size_t at = bytes.find("\r\n\r\n", from < 3 ? 0 : from - 3);
  return at == std::string_view::npos ? at : at + 4;
}

tl::expected<void, std::string> parse_request_head(std::string_view bytes, Head& out) {
  return parse_head<true>(bytes, out);
}

tl::expected<void, std::string> parse_response_head(std::string_view bytes, Head& out) {
  return parse_head<false>(bytes, out);
}

}  // namespace optipod::http
