// SPDX-License-Identifier: Apache-2.0
#include "extender/policies/contention/contention.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "extender/cluster/snapshot.hpp"

namespace optipod::extender {
namespace {

/// The larger of two windows; the one there is; missing when there is none.
double worse(double a, double b) {
  return a >= b || std::isnan(b) ? a : b;
}

double or_else(double value, double substitute) {
  return std::isnan(value) ? substitute : value;
}

/// The measurements of one candidate as the formula takes them.
class Measured {
 public:
  Measured(const Question& q, const ContentionParameters& p) : q_(q), p_(p) {}

  [[nodiscard]] double cpus(std::size_t i) const {
    const double cpus = q_[Signal::kCpus][i];
    return cpus > 0 ? cpus : kMissing;
  }
  [[nodiscard]] double wait(std::size_t i) const {
    return worse(q_[Signal::kRunqueueWait15s][i], q_[Signal::kRunqueueWait1m][i]);
  }
  [[nodiscard]] double utilization(std::size_t i) const {
    return worse(q_[Signal::kCpuUtilization15s][i], q_[Signal::kCpuUtilization1m][i]);
  }
  [[nodiscard]] double memory_stall(std::size_t i) const {
    return worse(q_[Signal::kMemoryStall15s][i], q_[Signal::kMemoryStall1m][i]);
  }
  /// Memory in use once a pod of `bytes` is there, as a share of what there is.
  [[nodiscard]] double memory_after(std::size_t i, double bytes) const {
    const double total = q_[Signal::kMemoryBytes][i];
    return total > 0 ? q_[Signal::kMemoryUtilization][i] + bytes / total : kMissing;
  }
  [[nodiscard]] double io(std::size_t i) const {
    const double stall = worse(q_[Signal::kIoStall15s][i], q_[Signal::kIoStall1m][i]);
    if (!std::isnan(stall)) return std::min(stall, 1.0);
    // No pressure from this kernel: how full the queue is, times how slow the device answers.
    const double inflight = q_[Signal::kBlockInflight][i];
    const double latency = worse(q_[Signal::kBlockLatency15s][i], q_[Signal::kBlockLatency1m][i]);
    const double busy = std::isnan(inflight) ? 1 : inflight / (1 + inflight);
    return busy * latency / (latency + p_.half_latency);
  }

 private:
  const Question& q_;
  const ContentionParameters& p_;
};

/// One quantity of every candidate, worked out once.
class Column {
 public:
  template <class Of>
  Column(std::size_t size, Of of) : value_(size) {
    double sum = 0;
    for (std::size_t i = 0; i < size; ++i) {
      const double v = value_[i] = of(i);
      if (std::isnan(v)) continue;
      sum += v;
      ++known_;
    }
    if (known_ != 0) mean_ = sum / static_cast<double>(known_);
  }
  [[nodiscard]] bool any() const { return known_ != 0; }
  [[nodiscard]] bool missing(std::size_t i) const { return std::isnan(value_[i]); }
  /// What is missing is taken for the candidates' mean, so it is never the best; where no candidate
  /// has it, for `nobody`.
  [[nodiscard]] double at(std::size_t i, double nobody = 0) const {
    return or_else(value_[i], any() ? mean_ : nobody);
  }

 private:
  std::vector<double> value_;
  std::size_t known_ = 0;
  double mean_ = 0;
};

double cpu_loss(double wait, double utilization, double cpus, double request,
                const ContentionParameters& p) {
  const double after = utilization + request / cpus;
  // Behind the others, not behind itself: what it asks for makes it wait only where CPUs run short.
  const double predicted = queueing_wait(cpus, std::min(utilization, p.max_queueing_utilization));
  // The larger, rounded so that the smaller still tells equals apart.
  const double total = std::sqrt(wait * wait + predicted * predicted);
  return 1 - std::min(1.0, 1 / after) / (1 + total);
}

double memory_loss(double stall, double after, const ContentionParameters& p) {
  const double over =
      std::clamp((after - p.memory_knee) / (p.memory_full - p.memory_knee), 0.0, 1.0);
  return 1 - (1 - std::min(stall, 1.0)) * (1 - over);
}

/// weight 1 is by far the usual one, and pow() by far the dearest step.
double left(double loss, double weight) {
  return weight == 1 ? 1 - loss : std::pow(1 - loss, weight);
}

}  // namespace

double queueing_wait(double servers, double rho) {
  return std::pow(rho, std::sqrt(2 * (servers + 1)) - 1) / (servers * (1 - rho));
}

SignalSet Contention::needs() const {
  return SignalSet(Signal::kCpus, Signal::kCpuUtilization15s, Signal::kCpuUtilization1m,
                   Signal::kRunqueueWait15s, Signal::kRunqueueWait1m, Signal::kMemoryUtilization,
                   Signal::kMemoryBytes, Signal::kMemoryStall15s, Signal::kMemoryStall1m,
                   Signal::kIoStall15s, Signal::kIoStall1m, Signal::kBlockLatency15s,
                   Signal::kBlockLatency1m, Signal::kBlockInflight);
}

void Contention::judge(const Question& question, Judgement& out) const {
  static constexpr std::string_view kLosses[] = {"cpu", "memory", "io"};
  out.reset(question.size, kLosses);
  const Measured m(question, p_);
  const double cpu = question.pod.requests.cpu > 0 ? question.pod.requests.cpu : p_.default_cpu;
  const double memory =
      question.pod.requests.memory > 0 ? question.pod.requests.memory : p_.default_memory;

  const std::size_t n = question.size;
  const Column cpus(n, [&](std::size_t i) { return m.cpus(i); });
  const Column wait(n, [&](std::size_t i) { return m.wait(i); });
  const Column utilization(n, [&](std::size_t i) { return m.utilization(i); });
  const Column stall(n, [&](std::size_t i) { return m.memory_stall(i); });
  const Column after(n, [&](std::size_t i) { return m.memory_after(i, memory); });
  const Column io(n, [&](std::size_t i) { return m.io(i); });

  for (std::size_t i = 0; i < n; ++i) {
    if (wait.missing(i) && utilization.missing(i) && stall.missing(i) && after.missing(i) &&
        io.missing(i)) {
      continue;  // nothing known: no opinion
    }
    const double w = wait.at(i);
    const double cpu_share =
        utilization.any() ? cpu_loss(w, utilization.at(i), cpus.at(i, 1), cpu, p_) : w / (1 + w);
    const double memory_share = memory_loss(stall.at(i), after.at(i), p_);
    const double io_share = io.at(i);
    out.losses[0].share[i] = cpu_share;
    out.losses[1].share[i] = memory_share;
    out.losses[2].share[i] = io_share;
    out.score[i] = left(cpu_share, p_.cpu_weight) * left(memory_share, p_.memory_weight) *
                   left(io_share, p_.io_weight);
    out.reject[i] = 1 - out.score[i] > p_.reject_above ? 1 : 0;
  }
}

}  // namespace optipod::extender
