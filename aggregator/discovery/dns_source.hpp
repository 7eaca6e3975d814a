// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include <tl/expected.hpp>

#include "aggregator/discovery/source.hpp"

namespace optipod::aggregator {

/// A name of DNS. `text` is "NAME:PORT", whose A records (AAAA where there are none) are targets,
/// or
/// "_PORT._PROTOCOL.NAME", whose SRV records are. A name that does not exist has none; any other
/// failure keeps the last list. Answers that are cut are asked for again over TCP; one holds some
/// 4,000 addresses. `servers`: "ADDRESS[:PORT],..." to ask; "": those of /etc/resolv.conf, read
/// each time. The error says what is wrong with the texts.
tl::expected<std::unique_ptr<Source>, std::string> make_dns_source(
    const std::string& text, std::chrono::milliseconds interval, const std::string& servers);

}  // namespace optipod::aggregator
