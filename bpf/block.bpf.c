// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// Block I/O: how long requests take from submission to completion, what they carry, how many are on
// their way; per slot and per disk.
//
// A request begins at block_io_start and ends at block_io_done (Linux 6.5). Before, it begins when
// it is queued or issued, whichever is first seen, and ends with its last byte at
// block_rq_complete. Bytes are counted at block_rq_complete always, which is where the kernel
// counts them for /proc/diskstats. A request merged into another one ends at block_rq_merge without
// having taken any time.
#include "bpf/slot.bpf.h"

const volatile __u32 shard_mask = 0;
const volatile bool charge_bio = false;   // to the bio's cgroup, else to the task that submits
const volatile bool end_at_done = false;  // block_io_done is attached
const volatile __u32 queue_argument =
    0;  // block_rq_issue, _insert and _requeue pass the queue first (< 5.11)
const volatile bool whole_machine = true;  // disks count what is charged to kSlotOutside, too

__u64 device_keys[kMaxDevices];
__u64 requests_dropped = 0;

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 2);  // (slot_count + kMaxDevices) * shards
  __type(key, __u32);
  __type(value, struct BlockSlot);
} block_slots SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, kMaxInflight);
  __type(key, __u64);
  __type(value, struct Inflight);
} inflight SEC(".maps");

static __always_inline struct BlockSlot* shard_of(__u32 slot) {
  const __u32 index = slot * (shard_mask + 1) + (bpf_get_smp_processor_id() & shard_mask);
  return bpf_map_lookup_elem(&block_slots, &index);
}

static __always_inline struct BlockSlot* device_shard(const struct Inflight* request) {
  if (request->device >= kMaxDevices || (request->slot == kSlotOutside && !whole_machine))
    return NULL;
  return shard_of(slot_count + request->device);
}

/// The disk's place in `device_keys`, taken on first sight.
static __always_inline __u16 device_of(struct request* rq) {
  struct gendisk* disk;
  struct request___disk* old = (void*)rq;
  struct request_queue* queue = BPF_CORE_READ(rq, q);
  if (bpf_core_field_exists(queue->disk)) {
    disk = BPF_CORE_READ(queue, disk);
  } else {
    disk = BPF_CORE_READ(old, rq_disk);
  }
  if (!disk) return kNoDevice;
  const __u64 key = OPTIPOD_DEVICE_KNOWN | ((__u64)(__u32)BPF_CORE_READ(disk, major) << 20) |
                    (__u32)BPF_CORE_READ(disk, first_minor);
#pragma clang loop unroll(disable)
  for (__u32 i = 0; i < kMaxDevices; i++) {
    __u64 found = device_keys[i];
    if (found == 0) found = __sync_val_compare_and_swap(&device_keys[i], 0, key);
    if (found == 0 || found == key) return i;
  }
  return kNoDevice;
}

static __always_inline __u32 charged_slot(struct request* rq) {
  struct cgroup* cgroup = NULL;
  if (charge_bio) cgroup = BPF_CORE_READ(rq, bio, bi_blkg, blkcg, css.cgroup);
  return cgroup ? charged_to(cgroup) : slot_of_task((void*)bpf_get_current_task());
}

static __always_inline void count_end(struct BlockSlot* counters, __u32 operation, __u64 took,
                                      bool timed) {
  if (!counters) return;
  __sync_fetch_and_add(&counters->finished[operation], 1);
  if (!timed) return;
  struct HistogramWords* latency = &counters->latency[operation];
  __sync_fetch_and_add(&latency->bucket[bucket_of(took)], 1);
  __sync_fetch_and_add(&latency->sum_ns, took);
}

static __always_inline void end(struct request* rq, bool timed) {
  const __u64 key = (__u64)rq;
  struct Inflight* found = bpf_map_lookup_elem(&inflight, &key);
  if (!found) return;
  const struct Inflight request = *found;
  bpf_map_delete_elem(&inflight, &key);
  const __u32 operation = request.operation & 1;
  const __u64 now = bpf_ktime_get_ns();
  const __u64 took = now > request.start_ns ? now - request.start_ns : 0;
  count_end(shard_of(request.slot), operation, took, timed);
  count_end(device_shard(&request), operation, took, timed);
}

/// What is not with the device yet, is tried again when it is.
static __always_inline void no_room(bool issued) {
  if (issued) __sync_fetch_and_add(&requests_dropped, 1);
}

/// `issued`: what is begun is with the device, or as good as: it begins but once.
static __always_inline void begin(struct request* rq, bool issued) {
  const __u64 key = (__u64)rq;
  const __u32 operation = operation_of(BPF_CORE_READ(rq, cmd_flags) & 0xff);
  if (operation >= kOperationCount) return;
  struct Inflight request = {.start_ns = bpf_ktime_get_ns(),
                             .slot = charged_slot(rq),
                             .device = device_of(rq),
                             .operation = operation,
                             .issued = issued};
  if (bpf_map_update_elem(&inflight, &key, &request, BPF_NOEXIST)) {
    struct Inflight* seen = bpf_map_lookup_elem(&inflight, &key);
    if (!seen) {
      no_room(issued);
      return;
    }
    if (!seen->issued) {
      // Inserted before it is issued, or given back by the device: it began then.
      seen->issued = issued;
      return;
    }
    end(rq, false);  // another one's, whose end went unseen
    if (bpf_map_update_elem(&inflight, &key, &request, BPF_NOEXIST)) {
      no_room(issued);
      return;
    }
  }
  struct BlockSlot* slot = shard_of(request.slot);
  if (slot) __sync_fetch_and_add(&slot->started[operation], 1);
  struct BlockSlot* device = device_shard(&request);
  if (device) __sync_fetch_and_add(&device->started[operation], 1);
}

SEC("raw_tp/block_io_start")
int io_start(__u64* ctx) {
  begin((void*)ctx[0], true);
  return 0;
}

SEC("raw_tp/block_io_done")
int io_done(__u64* ctx) {
  end((void*)ctx[0], true);
  return 0;
}

SEC("raw_tp/block_rq_insert")
int rq_insert(__u64* ctx) {
  begin((void*)(queue_argument ? ctx[1] : ctx[0]), false);
  return 0;
}

SEC("raw_tp/block_rq_issue")
int rq_issue(__u64* ctx) {
  begin((void*)(queue_argument ? ctx[1] : ctx[0]), true);
  return 0;
}

SEC("raw_tp/block_rq_requeue")
int rq_requeue(__u64* ctx) {
  const __u64 key = queue_argument ? ctx[1] : ctx[0];
  struct Inflight* request = bpf_map_lookup_elem(&inflight, &key);
  if (request) request->issued = false;
  return 0;
}

SEC("raw_tp/block_rq_merge")
int rq_merge(__u64* ctx) {
  end((void*)ctx[0], false);
  return 0;
}

/// ctx: request, error, bytes completed now.
SEC("raw_tp/block_rq_complete")
int rq_complete(__u64* ctx) {
  struct request* rq = (void*)ctx[0];
  const __u64 key = (__u64)rq;
  const __u32 bytes = (__u32)ctx[2];
  struct Inflight* request = bpf_map_lookup_elem(&inflight, &key);
  if (!request) return 0;  // began before we attached, or no read or write
  const __u32 operation = request->operation & 1;
  struct BlockSlot* slot = shard_of(request->slot);
  if (slot) __sync_fetch_and_add(&slot->bytes[operation], bytes);
  struct BlockSlot* device = device_shard(request);
  if (device) __sync_fetch_and_add(&device->bytes[operation], bytes);
  if (!end_at_done && bytes >= BPF_CORE_READ(rq, __data_len)) end(rq, true);
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
