// SPDX-License-Identifier: Apache-2.0
//
// One end of a connection: a socket, with or without TLS around it. All on its strand; at most one
// operation at a time.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/write.hpp>

namespace optipod::http {

using Strand = boost::asio::strand<boost::asio::io_context::executor_type>;
using StrandSocket = boost::asio::basic_stream_socket<boost::asio::ip::tcp, Strand>;

class Transport {
 public:
  using ErrorCode = boost::system::error_code;

  using TlsContext = boost::asio::ssl::context;
  using Handshake = boost::asio::ssl::stream_base::handshake_type;

  /// `tls` null: plain. What it is made of lives as long as this.
  Transport(StrandSocket socket, std::shared_ptr<TlsContext> tls)
      : socket_(std::move(socket)), tls_(std::move(tls)) {
    if (tls_) stream_ = std::make_unique<Stream>(socket_, *tls_);
  }

  /// The socket itself; on a TLS connection for what concerns TCP only.
  [[nodiscard]] StrandSocket& socket() { return socket_; }
  [[nodiscard]] auto executor() { return socket_.get_executor(); }
  [[nodiscard]] bool is_tls() const { return stream_ != nullptr; }

  // TLS only:
  [[nodiscard]] SSL* ssl() { return stream_->native_handle(); }
  template <class Done>
  void async_handshake(Handshake side, Done done) {
    stream_->async_handshake(side, std::move(done));
  }

  template <class Done>
  void async_read_some(boost::asio::mutable_buffer into, Done done) {
    stream_ ? stream_->async_read_some(into, std::move(done))
            : socket_.async_read_some(into, std::move(done));
  }
  template <class Buffers, class Done>
  void async_write(const Buffers& buffers, Done done) {
    stream_ ? boost::asio::async_write(*stream_, buffers, std::move(done))
            : boost::asio::async_write(socket_, buffers, std::move(done));
  }
  /// What the kernel takes at once, without waiting. Of TLS nothing: its records have to be written
  /// to their end.
  template <class Buffers>
  std::size_t write_some(const Buffers& buffers, ErrorCode& error) {
    error = {};
    return stream_ ? 0 : socket_.write_some(buffers, error);
  }
  /// TLS only: says that nothing more is said, and waits until the peer has said so too.
  template <class Done>
  void async_shutdown(Done done) {
    stream_->async_shutdown(std::move(done));
  }

 private:
  using Stream = boost::asio::ssl::stream<StrandSocket&>;

  StrandSocket socket_;
  std::shared_ptr<TlsContext> tls_;  ///< before the stream, which is made of it
  std::unique_ptr<Stream> stream_;   ///< on its own: it is large, and most have none
};

}  // namespace optipod::http
