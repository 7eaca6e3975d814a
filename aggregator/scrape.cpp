// SPDX-License-Identifier: Apache-2.0
#include "aggregator/scrape.hpp"

#include <algorithm>
#include <atomic>
#include <cctype>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "aggregator/backoff.hpp"
#include "aggregator/derived_series.hpp"
#include "aggregator/pod_usage.hpp"
#include "aggregator/scrape_report.hpp"

namespace optipod::aggregator {
namespace {

std::int64_t unix_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

/// What the parser reads: text/plain or OpenMetrics, each of any version.
std::optional<text::Format> format_of(std::string_view content_type) {
  std::string_view type = content_type.substr(0, content_type.find(';'));
  while (!type.empty() && type.back() == ' ') type.remove_suffix(1);
  const auto is = [type](std::string_view known) {
    return std::equal(type.begin(), type.end(), known.begin(), known.end(), [](char c, char lower) {
      return c == lower || std::tolower(static_cast<unsigned char>(c)) == lower;
    });
  };
  if (is("text/plain")) return text::Format::kText;
  if (is("application/openmetrics-text")) return text::Format::kOpenMetrics;
  return std::nullopt;
}

struct Failure {
  Outcome outcome;
  std::string what;
};

Outcome outcome_of(http::ClientError::Kind kind) {
  switch (kind) {
    case http::ClientError::Kind::kConnection:
      return Outcome::kConnection;
    case http::ClientError::Kind::kTimeout:
      return Outcome::kTimeout;
    case http::ClientError::Kind::kTooLarge:
      return Outcome::kTooLarge;
  }
  return Outcome::kConnection;
}

Outcome outcome_of(BodyError::Kind kind) {
  switch (kind) {
    case BodyError::Kind::kSyntax:
      return Outcome::kSyntax;
    case BodyError::Kind::kLimit:
      return Outcome::kLimit;
  }
  return Outcome::kSyntax;
}

using Answer = tl::expected<http::Fetcher::Reply, Failure>;

}  // namespace

/// One target. `under_way` makes its members one thread's at a time.
class Scraper::Work final : public http::Fetcher::Receiver {
 public:
  /// What is made of it goes to `store` and `self`.
  Work(const std::shared_ptr<const Target>& target, const ScrapeOptions& options,
       std::shared_ptr<SharedPages> pages, InternPool<NodePlan> plans, ScrapeThread thread,
       Store& store, Self& self)
      : store_(store),
        self_(self),
        target_(target),
        url_(target->url()),
        interval_(target->interval.count() > 0 ? target->interval : options.interval),
        timeout_(
            std::min(target->timeout.count() > 0 ? target->timeout : options.timeout, interval_)),
        backoff_(stable_hash(url_), options.max_backoff / interval_ - 1),
        parser_(target->labels, options.limits, std::move(pages)),
        report_(parser_.labels(), timeout_, options.limits.max_samples, options.extra_metrics),
        derived_(target->node),
        pods_(derived_.labels(), target->labels),
        plans_(std::move(plans)),
        moment_(moment_of(target->node + "\n" + url_, interval_, thread)) {}

  [[nodiscard]] const Target& target() const { return *target_; }
  [[nodiscard]] const std::string& url() const { return url_; }

  /// Begins to fetch the memory of what begin() and ask() need.
  void prefetch() const { __builtin_prefetch(&under_way_, 1); }
  [[nodiscard]] const Moment& moment() const { return moment_; }

  /// False while the last scrape is under way. `now` and `unix_ms` are one time.
  bool begin(Clock::time_point now, std::int64_t unix_ms) {
    if (under_way_.exchange(true)) return false;
    scraped_ms_ = unix_ms;
    started_ = now;
    return true;
  }

  /// After begin(): whether this scrape is one that a failing target is spared; it has ended then.
  bool leave_out() {
    if (!backoff_.leave_out()) return false;
    under_way_ = false;
    return true;
  }

  /// After begin(): what is asked. `work` is this.
  static http::Fetcher::Ask ask(const std::shared_ptr<Work>& work, ScrapeRequests& requests) {
    if (work->asked_as_ != requests.version()) {
      work->asked_as_ = requests.version();
      work->request_ = http::Fetcher::prepare(work->url_, requests.with(work->timeout_));
    }
    return {work->request_, work};
  }

  void receive(http::Fetcher::Answer answer) override {
    if (answer) return finish(*answer);
    finish(
        tl::unexpected(Failure{outcome_of(answer.error().kind), std::move(answer.error().what)}));
  }

  /// Takes the answer; publishes unless the target is gone.
  void finish(Answer answer) {
    auto view = std::make_shared<TargetView>();
    view->target = target_;
    view->scraped_ms = scraped_ms_;
    view->scrapes = ++scrapes_;
    body_bytes_ = answer ? static_cast<double>(answer->body.size()) : 0;
    auto set = read(std::move(answer));
    Outcome outcome = Outcome::kOk;
    std::size_t added = 0;
    if (set) {
      view->up = true;
      view->samples = parser_.samples();
      added = set->schema == shown_ ? 0 : count_new(*set->schema);
      shown_ = set->schema;
      view->scraped = std::move(*set);
      derive(*view);
    } else {
      outcome = set.error().outcome;
      view->error = std::move(set.error().what);
      shown_.reset();  // all of it is stale now; the next good scrape adds it again
      ++failures_;
      if (outcome == Outcome::kTooLarge) body_bytes_ = -1;
    }
    view->up ? backoff_.succeeded() : backoff_.failed();
    log_change(*view);
    if (view->up && parser_.repeated() > 0) tell_repeated();
    view->failures = failures_;
    if (!view->agent_up) carry_over(*view);
    const std::size_t samples = view->samples;
    const auto duration = Clock::now() - started_;
    view->duration_seconds = std::chrono::duration<double>(duration).count();
    view->report = report_.make(*view, added, body_bytes_);
    {
      const std::lock_guard lock(publish_);
      latest_ = view;
      if (!gone_) store_.publish(std::move(view), place_);
    }
    self_.scraped(outcome, duration, samples);
    done_once_ = true;
    under_way_ = false;
  }

  /// From any thread: nothing of it reaches the store afterwards.
  void forget() {
    const std::lock_guard lock(publish_);
    gone_ = true;
    store_.remove(target_->node);
  }

  [[nodiscard]] bool done_once() const { return done_once_; }

 private:
  tl::expected<SeriesSet, Failure> read(Answer answer) {
    const auto fail = [](Outcome outcome, std::string what) {
      return tl::unexpected(Failure{outcome, std::move(what)});
    };
    if (!answer) return tl::unexpected(std::move(answer.error()));
    const http::Fetcher::Reply& reply = *answer;
    if (reply.status != 200) {
      return fail(Outcome::kStatus, fmt::format("GET {}: status {}", url_, reply.status));
    }
    const auto format = format_of(reply.content_type);
    if (!format) {
      return fail(Outcome::kContentType,
                  fmt::format("GET {}: Content-Type \"{}\" is neither text/plain nor "
                              "application/openmetrics-text",
                              url_, reply.content_type.substr(0, 100)));
    }
    auto set = parser_.parse(reply.body, scraped_ms_, unix_ms(), *format);
    if (!set) {
      return fail(outcome_of(set.error().kind), fmt::format("GET {}: {}", url_, set.error().what));
    }
    return std::move(*set);
  }

  void derive(TargetView& view) {
    const auto begin = Clock::now();
    view.agent_up = value_of(view.scraped, "optipod_agent_up") == 1;
    if (!view.agent_up) return;
    if (!plan_ || plan_schema_ != view.scraped.schema) {
      plan_ = plans_.intern(std::make_shared<const NodePlan>(*view.scraped.schema));
      plan_schema_ = view.scraped.schema;
    }
    NodeSample sample = plan_->read({view.shared_from_this(), &view.scraped});
    pods_.update(view.scraped, sample.measured_ms);
    history_.add(std::move(sample));
    const Derived derived = history_.derive();
    view.measured_ms = view.scraped.measured_ms;
    view.derived = derived_.make(derived, true, view.measured_ms, scraped_ms_);
    view.pods = pods_.series(view.measured_ms, scraped_ms_);
    self_.derived(Clock::now() - begin);
  }

  /// What was derived last, with the times it has.
  void carry_over(TargetView& view) const {
    if (!latest_) {
      view.derived = derived_.make({}, false, 0, scraped_ms_);
      return;
    }
    view.measured_ms = latest_->measured_ms;
    view.derived = DerivedSeries::down(latest_->derived, scraped_ms_);
    view.pods = latest_->pods;
    view.pods.scraped_ms = scraped_ms_;
  }

  /// Series of `schema` that the last scrape did not show.
  [[nodiscard]] std::size_t count_new(const Schema& schema) const {
    if (!shown_) return schema.size();
    const auto less = [](const Schema& a, std::uint32_t i, const Schema& b, std::uint32_t k) {
      const auto x = a.at(i), y = b.at(k);
      return x.name != y.name ? x.name < y.name : x.text < y.text;
    };
    std::size_t added = 0, k = 0;
    for (const std::uint32_t i : schema.order()) {
      while (k < shown_->order().size() && less(*shown_, shown_->order()[k], schema, i)) ++k;
      const bool known =
          k < shown_->order().size() && !less(schema, i, *shown_, shown_->order()[k]);
      added += known ? 0 : 1;
    }
    return added;
  }

  /// A line when a target starts or stops answering, not one a scrape.
  void log_change(const TargetView& view) {
    if (scrapes_ > 1 && view.up == was_up_) return;
    was_up_ = view.up;
    if (view.up) {
      spdlog::info("node {}: {} answers with {} samples", target_->node, url_, view.samples);
    } else {
      spdlog::warn("node {}: {}", target_->node, view.error);
    }
  }

  /// Counted always, logged once: a page that is so is so at each scrape.
  void tell_repeated() {
    self_.repeated(parser_.repeated());
    if (std::exchange(told_repeated_, true)) return;
    spdlog::warn(
        "node {}: {} shows a series more than once, such as {}: the newest time counts, then the "
        "first sample; {} of {} samples are left out",
        target_->node, url_, parser_.repeated_series(), parser_.repeated(), parser_.samples());
  }

  Store& store_;
  Self& self_;
  std::shared_ptr<const Target> target_;
  std::string url_;
  const std::chrono::milliseconds interval_, timeout_;
  double body_bytes_ = 0;  ///< of the last answer

  // What begins a scrape needs these, of 5,000 targets in turn; so they lie together.
  std::atomic<bool> under_way_ = false, done_once_ = false;
  std::uint32_t asked_as_ = 0;  ///< the version of request_
  std::shared_ptr<const http::Fetcher::Request> request_;
  std::int64_t scraped_ms_ = 0;
  Clock::time_point started_;
  Backoff backoff_;
  BodyParser parser_;
  ScrapeReport report_;
  DerivedSeries derived_;
  PodUsage pods_;
  std::shared_ptr<const Schema> shown_, plan_schema_;
  InternPool<NodePlan> plans_;
  std::shared_ptr<const NodePlan> plan_;
  History history_;
  std::shared_ptr<const TargetView> latest_;
  std::uint64_t scrapes_ = 0, failures_ = 0;
  bool was_up_ = false, told_repeated_ = false;
  const Moment moment_;

  std::mutex publish_;
  bool gone_ = false;
  Store::Place place_;
};

Scraper::Scraper(ScrapeOptions options, Store& store, Self& self)
    : options_(std::move(options)),
      requests_(options_.max_body_bytes, options_.gzip),
      store_(store),
      self_(self),
      fetcher_(std::make_unique<http::Fetcher>(options_.threads)),
      thread_([this] { run(); }) {}

Scraper::~Scraper() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
  fetcher_.reset();  // every answer has been taken when this returns
}

void Scraper::set_targets(const Targets& targets) {
  std::map<std::string, std::shared_ptr<Work>> works;
  {
    const std::lock_guard lock(mutex_);
    std::map<Moment, Works> moments;
    for (const auto& target : targets) {
      const ScrapeThread thread{fetcher_->thread_of(target->url()), std::max(options_.threads, 1U)};
      const auto known = works_.find(target->node);
      works[target->node] =
          known != works_.end() && known->second->target() == *target
              ? known->second
              : std::make_shared<Work>(target, options_, pages_, plans_, thread, store_, self_);
    }
    for (const auto& [node, work] : works_) {
      const auto kept = works.find(node);
      if (kept == works.end() || kept->second != work) work->forget();
    }
    works_ = std::move(works);
    too_many_ = options_.target_limit > 0 && works_.size() > options_.target_limit;
    for (const auto& [node, work] : works_) moments[work->moment()].push_back(work);
    due_.clear();
    const auto now = Clock::now();
    for (auto& [moment, its] : moments) {
      due_.emplace(moment.next(now), Due{moment, std::make_shared<const Works>(std::move(its))});
    }
  }
  changed_.notify_all();
}

bool Scraper::swept() const {
  const std::lock_guard lock(mutex_);
  return std::all_of(works_.begin(), works_.end(),
                     [](const auto& entry) { return entry.second->done_once(); });
}

void Scraper::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (due_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const auto now = Clock::now();
    if (due_.begin()->first > now) {
      // A copy: who changes the targets meanwhile may take this moment out.
      const Clock::time_point next = due_.begin()->first;
      changed_.wait_until(lock, next);
      continue;
    }
    const auto taken = take_due(now);
    lock.unlock();
    look_at_config(now);
    for (const auto& works : taken) start(*works);
    lock.lock();
  }
}

/// Under mutex_.
std::vector<std::shared_ptr<const Scraper::Works>> Scraper::take_due(Clock::time_point now) {
  std::vector<std::shared_ptr<const Works>> taken;
  while (due_.begin()->first <= now) {
    auto at = due_.extract(due_.begin());
    taken.push_back(at.mapped().works);
    // From now rather than from the moment that was due: after a pause nothing is made up for.
    at.key() = at.mapped().moment.next(std::max(now, at.key()));
    due_.insert(std::move(at));
  }
  return taken;
}

void Scraper::look_at_config(Clock::time_point now) {
  constexpr std::chrono::seconds kLook{1};
  if (!options_.client_config || now - looked_at_ < kLook) return;
  looked_at_ = now;
  requests_.use(options_.client_config->current());
}

void Scraper::start(const Works& works) {
  const auto now = Clock::now();
  const std::int64_t ms = unix_ms();
  std::vector<http::Fetcher::Ask> asks;
  asks.reserve(works.size());
  for (std::size_t i = 0; i < works.size(); ++i) {
    if (i + 3 < works.size()) works[i + 3]->prefetch();
    start(works[i], now, ms, asks);
  }
  fetcher_->get(std::move(asks));
}

void Scraper::start(const std::shared_ptr<Work>& work, Clock::time_point now, std::int64_t ms,
                    std::vector<http::Fetcher::Ask>& asks) {
  if (!work->begin(now, ms)) return self_.skipped();
  if (too_many_) {
    return work->finish(tl::unexpected(
        Failure{Outcome::kLimit,
                fmt::format("GET {}: not asked: there are more targets than the target limit, {}",
                            work->url(), options_.target_limit)}));
  }
  if (work->leave_out()) return self_.backed_off(1);
  asks.push_back(Work::ask(work, requests_));
}

}  // namespace optipod::aggregator
