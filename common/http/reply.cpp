// SPDX-License-Identifier: Apache-2.0
#include "common/http/reply.hpp"

#include <array>
#include <charconv>
#include <ctime>

#include "common/http/accept.hpp"
#include "common/http/gzip.hpp"

namespace optipod::http {
namespace {

constexpr std::size_t kWorthGzip = 1400;  ///< one packet gains nothing

std::string_view reason(unsigned status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "Unknown";
  }
}

/// "Sun, 06 Nov 1994 08:49:37 GMT", made once a second and thread.
std::string_view http_date() {
  thread_local std::time_t made_for = 0;
  thread_local std::array<char, 32> text{};
  thread_local std::size_t length = 0;
  const std::time_t now = std::time(nullptr);
  if (now != made_for) {
    std::tm tm{};
    gmtime_r(&now, &tm);
    length = std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    made_for = now;
  }
  return {text.data(), length};
}

void append_decimal(std::string& out, std::size_t value) {
  std::array<char, 24> text{};
  out.append(text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr);
}

/// A handler's header must not be able to add a line.
void append_header(std::string& out, std::string_view name, std::string_view value) {
  const auto add = [&](std::string_view s) {
    for (const char c : s) out.push_back(static_cast<unsigned char>(c) < ' ' ? ' ' : c);
  };
  add(name);
  out.append(": ");
  add(value);
  out.append("\r\n");
}

}  // namespace

void Reply::render(const Response& response, const Terms& terms) {
  const bool in_pieces = static_cast<bool>(response.more);
  bool compress = response.gzip && !response.gzipped && response.body.size() >= kWorthGzip &&
                  accepts_gzip(terms.accept_encoding);
  pieces_.reset();
  if (compress && in_pieces) {
    gzip_.clear();
    pieces_.emplace(gzip_);
  } else if (compress) {
    compress = gzip_compress(response.body, gzip_);
  }
  tail_ = {};
  body_ = compress ? std::string_view(gzip_) : std::string_view(response.body);
  head_.clear();
  head_.append("HTTP/1.1 ");
  append_decimal(head_, response.status);
  head_.append(" ").append(reason(response.status)).append("\r\nDate: ").append(http_date());
  chunked_ = in_pieces && terms.version == 11;
  if (chunked_) {
    head_.append("\r\nTransfer-Encoding: chunked");
  } else if (!in_pieces) {
    head_.append("\r\nContent-Length: ");
    append_decimal(head_, body_.size());
  }
  head_.append("\r\n");
  // Also of an empty page: a scraper refuses one without a type. Our own errors are bare.
  if (response.status < 400 || !body_.empty()) {
    append_header(head_, "Content-Type", response.content_type);
  }
  for (const auto& [name, value] : response.headers) append_header(head_, name, value);
  if (response.gzip || response.gzipped) head_.append("Vary: Accept-Encoding\r\n");
  if (compress || response.gzipped) head_.append("Content-Encoding: gzip\r\n");
  if (!terms.keep_alive) {
    head_.append("Connection: close\r\n");
  } else if (terms.version == 10) {
    head_.append("Connection: keep-alive\r\n");
  }
  head_.append("\r\n");
  if (terms.head_only) {
    body_ = {};
  } else if (in_pieces) {
    add_piece(response);
  }
}

bool Reply::render_piece(const Response& response) {
  head_.clear();
  if (pieces_) gzip_.clear();
  return add_piece(response);
}

bool Reply::add_piece(const Response& response) {
  const bool last = !response.more;
  body_ = response.body;
  if (pieces_) {
    if (!pieces_->add(response.body)) return false;
    if (last) pieces_->finish();
    body_ = gzip_;
  }
  tail_ = {};
  if (!chunked_) return true;
  if (!body_.empty()) {
    std::array<char, 20> size{};
    const auto end = std::to_chars(size.data(), size.data() + size.size(), body_.size(), 16).ptr;
    head_.append(size.data(), end).append("\r\n");
  }
  constexpr std::string_view kEnd = "\r\n0\r\n\r\n";
  tail_ = last ? kEnd : kEnd.substr(0, 2);
  if (body_.empty()) tail_ = last ? kEnd.substr(2) : std::string_view{};
  return true;
}

void Reply::release_memory(std::size_t most) {
  body_ = tail_ = {};
  if (gzip_.capacity() > most) std::string().swap(gzip_);
}

}  // namespace optipod::http
