// SPDX-License-Identifier: Apache-2.0
// Makes spdlog's registry before a test starts threads, as the programs do in main(). Threads whose
// first message makes it do so safely, but inside libspdlog, where ThreadSanitizer does not see it.
#include <spdlog/spdlog.h>

namespace {

[[maybe_unused]] const bool made = spdlog::default_logger_raw() != nullptr;

}  // namespace
