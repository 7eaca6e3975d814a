// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// What the programs in the kernel and the agent share: the layout of every map value, and the two
// small functions that both sides must compute alike. Compiled as C for eBPF and as C++ for the
// agent and its tests; the assertions below hold on both sides.
#pragma once

#ifdef __cplusplus
#include <cstddef>
#include <cstdint>
#define OPTIPOD_ASSERT static_assert
#define OPTIPOD_LOOP
#define OPTIPOD_FN constexpr
#define OPTIPOD_FORGET(number)
namespace optipod::bpf {
using U64 = std::uint64_t;
using U32 = std::uint32_t;
using U16 = std::uint16_t;
using U8 = std::uint8_t;
#else
#define OPTIPOD_ASSERT _Static_assert
#define OPTIPOD_LOOP _Pragma("clang loop unroll(disable)")  // the verifier walks every path
#define OPTIPOD_FN static inline __attribute__((always_inline))
// From here on the compiler knows nothing of it, and keeps a mask that is there for the verifier.
#define OPTIPOD_FORGET(number) __asm__ volatile("" : "+r"(number))
typedef __u64 U64;
typedef __u32 U32;
typedef __u16 U16;
typedef __u8 U8;
#endif

enum {
  kSlotOutside = 0,    // not below the agent's cgroup root
  kSlotNodeOther = 1,  // below it, without a slot of its own
  kBuckets = 32,
  kOperationCount = 2,  // read, write: as shm::Operation
  kNoOperation = 2,     // flush, discard, driver private: neither
  kMaxDevices = 64,     // disks with counters of their own; more are counted by slot only
  kNoDevice = kMaxDevices,
  kSlotProbes = 16,        // longest search in the slot table
  kBlockShards = 8,        // block counters are [slot][cpu % shards]
  kMaxInflight = 16384,    // requests timed at once
  kReclaimKindCount = 2,   // direct, memcg: as shm::ReclaimKind
  kMaxReclaims = 4096,     // tasks timed in reclaim at once
  kTaskWords = 6,          // of struct TaskSlot
  kDropReasonCount = 256,  // enum skb_drop_reason; the last: any above, and other subsystems'
  kThrottleMarks = 128,    // task groups per CPU whose throttled times are remembered
  kThrottleIntervals = 4,  // and how many times of each
  kPairs = 256,            // pairs of slots per CPU and generation
  kSoftirqs = 10,          // vectors, as shm::kSoftirqVectors
  kPairProbes = 8,         // longest search among them
  kCounters = 3,           // of the CPU: cycles, instructions, cache misses
  kMadePath = 504,         // more of a new cgroup's path is cut
  kNoPlace = 0xffffffff,   // of a CPU, whose place is not known
  kQueueBuckets = 12,      // of run queue lengths, as shm::kQueueBuckets
  kChargedPages = 64,      // allocated pages are charged so many at a time
};

#define OPTIPOD_EMPTY_ID 0ull      // slot table: never used
#define OPTIPOD_ERASED_ID (~0ull)  // slot table: used before, search on

struct HistogramWords {
  U64 bucket[kBuckets];
  U64 sum_ns;
};

/// Counters of one slot on one CPU: shm::CpuStats, padded to whole cache lines. Written only by
/// that CPU with interrupts off, therefore without atomics.
struct CpuSlot {
  struct HistogramWords runqueue_wait;
  U64 preemptions[3];  // by itself, another, the system: as shm::PreemptedBy
  U64 switches[2];     // voluntary, involuntary: as shm::SwitchKind
  U64 discarded;
  U64 throttled_wait_ns, throttled_waits, throttled_switches;  // as shm::SchedulerStats; likewise:
  U64 migrations;                                              // made by this CPU, wherever to
  U64 far_migrations[2];  // to another cache, another node: as shm::FarMigration
  U64 padding[3];
};

/// Counters of one slot (or disk) on one shard. Completion comes in interrupts, on any CPU, so
/// these are added to atomically; by shard, so that the lines rarely meet.
struct BlockSlot {
  struct HistogramWords latency[kOperationCount];
  U64 bytes[kOperationCount];
  U64 started[kOperationCount];
  U64 finished[kOperationCount];
};

/// What is known of one CPU from switch to switch. One cache line.
struct CpuState {
  U64 behind_ns;     // its run queue's clock, of the monotonic clock; two's complement
  U64 at_ns;         // when that was seen; 0: never
  U32 victim;        // slot whose task had to make way for the one that runs; 0: none
  U32 pair;          // where theirs is among the pairs
  U64 since_ns;      // when, on the run queue's clock
  U64 generation;    // of the pairs, then
  U64 pairs_untold;  // preemptions for which there was no room among the pairs
  U64 padding[2];
};

/// How often a task of one slot made way for one of another, and how long that one ran. Two sets
/// ("generations") per CPU take turns: the programs fill one while the agent empties the other,
/// after a whole tick without new entries.
struct Pair {
  U32 victim;  // 0: free
  U32 aggressor;
  U64 preemptions;
  U64 taken_ns;
};

/// Interrupts of one CPU; written only by it. Two cache lines.
struct IrqCpu {
  U64 softirq_ns[kSoftirqs];
  U64 hardirq_ns;
  U64 softirq_since;  // 0: none runs, or it began before we were there
  U64 hardirq_since;
  U64 hardirq_inside_ns;  // that came into this softirq
  U64 softirq_vector;
  U64 padding;
};

/// How long they ran while a slot's task had the CPU. Two words, because the one interrupts the
/// other's program.
struct IrqStolen {
  U64 softirq_ns, hardirq_ns;
};

struct Interval {
  U64 start, end;
};

/// When a task group was throttled on one CPU, by its run queue there. Times are those of the run
/// queue's clock.
struct ThrottleMark {
  U64 queue;     // address of the group's cfs_rq
  U64 total_ns;  // its throttled time when last seen
  U64 since;     // a task had to go then, and no end has been seen; 0: none had
  U64 count;     // of intervals ever seen
  struct Interval last[kThrottleIntervals];  // the newest of them, [count % kThrottleIntervals]
};

/// Slot table: open addressing, linear search of at most kSlotProbes entries, written by the agent
/// through its mapping and only read in the kernel.
struct SlotEntry {
  U64 cgroup_id;
  U64 slot;
};

/// A request on its way, keyed by its address.
struct Inflight {
  U64 start_ns;
  U32 slot;
  U16 device;
  U8 operation;
  U8 issued;  // the device has it: it cannot begin again
};

/// A disk that had I/O: 0, or kDeviceKnown | dev_t of the kernel (major << 20 | minor).
#define OPTIPOD_DEVICE_KNOWN (1ull << 32)

/// Memory counters of one slot: the first part of shm::MemoryStats. These events are rare, so here
/// and below any CPU adds to them atomically.
struct MemorySlot {
  struct HistogramWords reclaim_stall[kReclaimKindCount];
  U64 oom_kills;
};

/// News of an OOM kill.
struct OomKill {
  U32 slot;  // of the victim
  U32 pid;   // as the first pid namespace numbers it
  char command[16];
};

/// A task in reclaim, keyed by its address.
struct Reclaim {
  U64 start_ns;
  U64 kind;
};

/// Pages allocated on one CPU that no slot has been charged for. One cache line.
struct AllocationCpu {
  U64 pages;
  U64 padding[7];
};

/// What a slot's tasks got from the page allocator.
struct AllocationSlot {
  U64 pages;
};

/// How often so many tasks waited for one CPU. Two cache lines.
struct QueueCpu {
  U64 looks[kQueueBuckets];
  U64 waiting;  // the sum of all looks
  U64 queue;    // the kernel's address of it
  U64 padding[2];
};

/// Dropped packets of one CPU.
struct DropCpu {
  U64 packets[kDropReasonCount];
};

/// What the counters of one CPU counted while one slot's tasks had it. Written only by that CPU.
struct CounterSlot {
  U64 counts[kCounters];
  U64 running_ns;  // how long they counted
};

/// The counters of one CPU when a task last left it.
struct CounterCpu {
  U64 window;
  U64 counts[kCounters];
  U64 running_ns;
};

/// What the kernel counts per task, summed per slot.
struct TaskSlot {
  U64 words[kTaskWords];  // calls read, written; bytes read, written; faults minor, major
  U64 padding[2];
};

/// What of a task has been counted already.
struct TaskSeen {
  U64 words[kTaskWords];
};

/// TCP counters of one slot: shm::TcpStats.
struct TcpSlot {
  struct HistogramWords rtt;
  U64 bytes[2];  // received, sent: as shm::Direction
  U64 retransmitted;
};

/// What of a connection has been counted already.
struct ConnectionSeen {
  U64 bytes[2];
};

enum {
  kSampleCpuTime = 1u << 0,
  kSamplePressure = 1u << 1,  // all six totals
  kSampleThrottling = 1u << 2,
};

/// News of a cgroup; of `path`, from the hierarchy's root, only what there is of it is sent.
struct MadeCgroup {
  U64 id;
  char path[kMadePath];
};

/// What the iterator writes per cgroup. pressure_*: cpu, memory, io as in shm::Resource.
struct CgroupSample {
  U64 cgroup_id;
  U64 valid;
  U64 exec_ns, user_ns, system_ns;  // user and system as ticks saw them: their ratio counts
  U64 waiting_ns[3];
  U64 stalled_ns[3];
  U64 throttled_ns, periods, throttled_periods;
};

/// Whether a > b, for numbers below 2^63, as a bit at `at`. By arithmetic: eBPF can only compare by
/// jumping, and nobody can predict where durations jump to.
OPTIPOD_FN U64 above(U64 a, U64 b, U32 at) {
  return (b - a) >> (63 - at) & (1ull << at);
}

/// Index of the histogram bucket: 0 for d <= 1 ns, k for 2^(k-1) < d <= 2^k, the last for the rest.
OPTIPOD_FN U32 bucket_of(U64 duration_ns) {
  U64 x = duration_ns - 1;  // the upper bound belongs to the bucket
  U64 r = 0, s = 0;
  if (x >> (kBuckets - 2)) return duration_ns ? kBuckets - 1 : 0;
  x = 2 * x + 1;  // so that 0 has a highest bit, too; its position is the index
  s = above(x, 0xffff, 4);
  x >>= s;
  r |= s;
  s = above(x, 0xff, 3);
  x >>= s;
  r |= s;
  s = above(x, 0xf, 2);
  x >>= s;
  r |= s;
  s = above(x, 0x3, 1);
  x >>= s;
  r |= s;
  r |= x >> 1;
  OPTIPOD_FORGET(r);
  return (U32)r & (kBuckets - 1);  // for verifiers that lose track of r (6.1)
}

/// Index of the bucket of a run queue's length: 0 for none, k for 2^(k-2) < n <= 2^(k-1), the last
/// for the rest.
OPTIPOD_FN U32 queue_bucket_of(U32 waiting) {
  const U32 bucket = waiting ? bucket_of(waiting) + 1 : 0;
  return bucket < kQueueBuckets ? bucket : kQueueBuckets - 1;
}

/// Begins anew when the mark is another group's.
OPTIPOD_FN int adopt_mark(struct ThrottleMark* mark, U64 queue, U64 total_ns) {
  if (mark->queue == queue) return 0;
  mark->queue = queue;
  mark->total_ns = total_ns;
  mark->since = 0;
  mark->count = 0;
  OPTIPOD_LOOP
  for (U32 i = 0; i < kThrottleIntervals; i++) mark->last[i].start = mark->last[i].end = 0;
  return 1;
}

/// Notes what came to the group's throttled time. The kernel keeps no times of intervals, so what
/// came since the last look is taken as one, which began when a task was put off the CPU for it,
/// or (nobody was running) ended just now.
OPTIPOD_FN int note_throttled(struct ThrottleMark* mark, U64 total_ns, U64 now) {
  if (mark->total_ns == total_ns) return 0;
  const U64 amount = total_ns - mark->total_ns;
  const U64 start = mark->since ? mark->since : now > amount ? now - amount : 0;
  struct Interval* interval = &mark->last[mark->count & (kThrottleIntervals - 1)];
  interval->start = start;
  interval->end = start + amount < now ? start + amount : now;
  mark->count++;
  mark->since = 0;
  mark->total_ns = total_ns;
  return 1;
}

/// A task of the group has to go because the quota is used up, since `start`.
OPTIPOD_FN int mark_throttled(struct ThrottleMark* mark, U64 queue, U64 total_ns, U64 start) {
  if (!adopt_mark(mark, queue, total_ns)) note_throttled(mark, total_ns, start);
  mark->since = start;
  return 1;
}

/// How much of a task's wait, from `queued` to `now`, its group was throttled; `total_ns`: how long
/// it ever was on this CPU. The first look at a group only remembers, and what is older than the
/// remembered intervals is left out: rather too little than contention taken for a quota's fault.
OPTIPOD_FN U64 throttled_part(struct ThrottleMark* mark, U64 queue, U64 total_ns, U64 queued,
                              U64 now) {
  if (adopt_mark(mark, queue, total_ns)) return 0;
  note_throttled(mark, total_ns, now);
  U64 sum = 0;
  OPTIPOD_LOOP
  for (U32 i = 0; i < kThrottleIntervals; i++) {
    const U64 from = mark->last[i].start > queued ? mark->last[i].start : queued;
    const U64 to = mark->last[i].end < now ? mark->last[i].end : now;
    if (to > from) sum += to - from;
  }
  return sum < now - queued ? sum : now - queued;
}

/// Where the search for a cgroup starts in a table of 2^bits entries.
OPTIPOD_FN U32 slot_hash(U64 cgroup_id, U32 bits) {
  return (U32)((cgroup_id * 0x9e3779b97f4a7c15ull) >> (64 - bits));
}

/// Read, write or neither, by the rule /proc/diskstats uses: discards and flushes have columns of
/// their own there; whatever else carries data to the disk is a write. `operation`: enum req_op.
OPTIPOD_FN U32 operation_of(U32 operation) {
  if (operation == 0) return 0;
  if (operation >= 32 || operation == 3 || !(operation & 1)) return kNoOperation;
  return 1;
}

OPTIPOD_ASSERT(sizeof(struct HistogramWords) == 33 * 8, "as shm::Histogram");
OPTIPOD_ASSERT(sizeof(struct CpuSlot) == 384, "six cache lines");
OPTIPOD_ASSERT(sizeof(struct BlockSlot) == 576, "nine cache lines");
OPTIPOD_ASSERT(sizeof(struct CpuState) == 64, "one cache line");
OPTIPOD_ASSERT(sizeof(struct IrqCpu) == 128, "two cache lines");
OPTIPOD_ASSERT(sizeof(struct IrqStolen) == 16, "no padding");
OPTIPOD_ASSERT(sizeof(struct Pair) == 24, "no padding");
OPTIPOD_ASSERT(sizeof(struct ThrottleMark) == 96, "no padding");
OPTIPOD_ASSERT(sizeof(struct SlotEntry) == 16, "no padding");
OPTIPOD_ASSERT(sizeof(struct Inflight) == 16, "no padding");
OPTIPOD_ASSERT(sizeof(struct MemorySlot) == 2 * 33 * 8 + 8, "no padding");
OPTIPOD_ASSERT(sizeof(struct TaskSlot) == 64, "one cache line");
OPTIPOD_ASSERT(sizeof(struct TcpSlot) == 36 * 8, "no padding");
OPTIPOD_ASSERT(sizeof(struct OomKill) == 24, "no padding");
OPTIPOD_ASSERT(sizeof(struct AllocationCpu) == 64, "one cache line");
OPTIPOD_ASSERT(sizeof(struct QueueCpu) == 128, "two cache lines");
OPTIPOD_ASSERT(sizeof(struct CgroupSample) == 112, "no padding");

#ifdef __cplusplus
}  // namespace optipod::bpf
#endif
