// SPDX-License-Identifier: Apache-2.0
#include "common/app/app.hpp"

#include <sys/resource.h>

#include <cctype>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <memory>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "common/app/duration.hpp"
#include "common/app/logging.hpp"
#include "common/app/stop.hpp"
#include "config.h"

namespace optipod::app {
namespace {

/// CLI11 asks a configuration file before the environment. Here the nearer wins: flag, environment,
/// file, default; so what the environment says is left out of the file.
class FileBehindEnvironment final : public CLI::ConfigTOML {
 public:
  explicit FileBehindEnvironment(const CLI::App& cli) : cli_(cli) {}

  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override {
    auto items = CLI::ConfigTOML::from_config(input);
    for (CLI::ConfigItem& item : items) {  // --web.listen-address is an option, not a table's entry
      const std::string dotted = item.fullname();
      if (item.parents.empty() || cli_.get_option_no_throw("--" + dotted) == nullptr) continue;
      item.name = dotted;
      item.parents.clear();
    }
    std::erase_if(items, [&](const CLI::ConfigItem& item) {
      const CLI::Option* option =
          item.parents.empty() ? cli_.get_option_no_throw("--" + item.name) : nullptr;
      if (option == nullptr || option->get_envname().empty()) return false;
      const char* value = std::getenv(option->get_envname().c_str());
      return value != nullptr && *value != '\0';
    });
    return items;
  }

 private:
  const CLI::App& cli_;
};

std::string environment_name(const std::string& option) {
  std::string name = "OPTIPOD_";
  for (const char c : option) {
    const bool separator = c == '-' || c == '.';
    name.push_back(separator ? '_'
                             : static_cast<char>(std::toupper(static_cast<unsigned char>(c))));
  }
  return name;
}

void read_environment(CLI::App& cli) {
  for (CLI::Option* option : cli.get_options()) {
    if (option->get_lnames().empty() || !option->get_envname().empty()) continue;
    const std::string& name = option->get_lnames().front();
    if (name != "help" && name != "version") option->envname(environment_name(name));
  }
  for (CLI::App* sub : cli.get_subcommands({})) read_environment(*sub);
}

/// Thousands of connections need more descriptors than the soft limit of 1,024. We never select().
void raise_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
}

struct LogOptions {
  std::string level = "info";
  std::string format = "text";
};

/// `done` when the program should not go on, but end with the status returned.
int parse_command_line(CLI::App& cli, int argc, char** argv, bool& done) {
  done = true;
  try {
    cli.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
      cli.exit(error, std::cout, std::cerr);  // --help, --version
      return kOk;
    }
    std::cerr << cli.get_name() << ": " << error.what() << "\nTry '" << cli.get_name()
              << " --help'.\n";
    return kUsage;
  }
  done = false;
  return kOk;
}

int run_body(Stop& stop, const Body& body) {
  try {
    return body(stop);
  } catch (const std::exception& error) {
    spdlog::critical("stopping: {}", error.what());
  } catch (...) {
    spdlog::critical("stopping: unknown exception");
  }
  return kFailure;
}

int run_or_throw(int argc, char** argv, const Info& info, const Declare& declare,
                 const Body& body) {
  CLI::App cli(info.description, info.name);
  LogOptions log;
  cli.set_version_flag("--version", info.name + " " OPTIPOD_VERSION);
  // CLI11 opens the file before it looks at the environment, so that the variable is its default
  // here.
  const char* config = std::getenv("OPTIPOD_CONFIG");
  const std::string file = config == nullptr ? "" : config;
  cli.set_config("--config", file,
                 "Read options from this TOML or INI file: names as here without --", !file.empty())
      ->type_name("FILE");
  cli.allow_config_extras(CLI::config_extras_mode::error);
  cli.config_formatter(std::make_shared<FileBehindEnvironment>(cli));
  cli.add_option("--log-level", log.level, "Least severe messages to log")
      ->check(CLI::IsMember({"trace", "debug", "info", "warning", "error", "critical", "off"}))
      ->capture_default_str();
  cli.add_option("--log-format", log.format, "Log lines for people or as JSON, to standard error")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  cli.get_formatter()->column_width(34);
  if (declare) declare(cli);
  read_environment(cli);

  bool done = false;
  const int status = parse_command_line(cli, argc, argv, done);
  if (done) return status;

  set_up_logging(info.name, log.level, log.format);
  raise_file_limit();
  auto stop = make_signal_stop();
  if (!stop) {
    spdlog::critical("{}", stop.error());
    return kFailure;
  }
  return run_body(**stop, body);
}

}  // namespace

int run(int argc, char** argv, const Info& info, const Declare& declare, const Body& body) {
  try {
    return run_or_throw(argc, argv, info, declare, body);
  } catch (const std::exception& error) {
    std::cerr << info.name << ": " << error.what() << '\n';
  } catch (...) {
    std::cerr << info.name << ": unknown exception\n";
  }
  return kFailure;
}

CLI::Option* add_duration(CLI::App& cli, const std::string& flag, std::chrono::milliseconds& value,
                          const std::string& help) {
  const auto set = [&value, flag](const std::string& text) {
    const auto parsed = parse_duration(text);
    if (!parsed) throw CLI::ValidationError(flag, parsed.error());
    value = *parsed;
  };
  return cli.add_option_function<std::string>(flag, set, help)
      ->type_name("DURATION")
      ->default_str(format_duration(value));
}

}  // namespace optipod::app
