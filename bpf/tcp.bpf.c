// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// TCP, charged to the cgroup that made the socket: segments sent again, payload bytes, and round
// trip times. Nothing runs per packet: the kernel counts per connection, and a walk over all
// connections takes up what is new since the last one; one that ends is taken up a last time.
//
// What was taken up stands in the socket's storage, which a connection gets when it is established;
// the walk is one over that storage, so it meets the sockets of every network namespace.
// Connections older than the agent have none: of them only the retransmissions are counted.
#include "bpf/slot.bpf.h"

struct {
  __uint(type, BPF_MAP_TYPE_SK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct ConnectionSeen);
} connections SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 2);  // slot_count
  __type(key, __u32);
  __type(value, struct TcpSlot);
} tcp_slots SEC(".maps");

__u64 connections_dropped = 0;

enum { kProtocolTcp = 6, kEstablished = 1, kClose = 7 };

static __always_inline struct TcpSlot* slot_of_socket(const struct sock* sk) {
  struct cgroup* cgroup = NULL;
  if (bpf_core_field_exists(sk->sk_cgrp_data.cgroup)) {
    cgroup = BPF_CORE_READ(sk, sk_cgrp_data.cgroup);
  } else {
    const struct sock_cgroup_data___word* old = (void*)&sk->sk_cgrp_data;
    const __u64 word = BPF_CORE_READ(old, val);
    if (!(word & 1)) cgroup = (void*)(word & ~3ull);
  }
  const __u32 index = cgroup ? charged_to(cgroup) : kSlotOutside;
  return bpf_map_lookup_elem(&tcp_slots, &index);
}

/// The smoothed round trip time counts once per look at a connection that has moved since the last.
static __always_inline void take_up(const struct sock* sk, struct ConnectionSeen* seen) {
  const struct tcp_sock* tcp = (const void*)sk;
  const __u64 received = BPF_CORE_READ(tcp, bytes_received);
  const __u64 sent = BPF_CORE_READ(tcp, bytes_sent);
  if (received <= seen->bytes[0] && sent <= seen->bytes[1]) return;
  struct TcpSlot* slot = slot_of_socket(sk);
  if (!slot) return;
  bool moved = add_since(&seen->bytes[0], received, &slot->bytes[0]);
  moved |= add_since(&seen->bytes[1], sent, &slot->bytes[1]);
  const __u64 rtt_us = BPF_CORE_READ(tcp, srtt_us) >> 3;
  if (moved && rtt_us) count_duration(&slot->rtt, rtt_us * 1000);
}

/// ctx: socket, old state, new state.
SEC("tp_btf/inet_sock_set_state")
int state_changed(__u64* ctx) {
  struct sock* sk = (void*)ctx[0];
  const int state = (int)ctx[2];
  if (sk->sk_protocol != kProtocolTcp || (state != kEstablished && state != kClose)) return 0;
  const __u64 flags = state == kEstablished ? BPF_SK_STORAGE_GET_F_CREATE : 0;
  struct ConnectionSeen* seen = bpf_sk_storage_get(&connections, sk, NULL, flags);
  if (!seen && flags) __sync_fetch_and_add(&connections_dropped, 1);
  if (seen && state == kClose) take_up(sk, seen);
  return 0;
}

SEC("iter/bpf_sk_storage_map")
int walk_connections(struct bpf_iter__bpf_sk_storage_map* ctx) {
  struct sock* sk = ctx->sk;
  if (!sk) return 0;
  // ctx->value is the same, but there the verifier allows no atomic operation.
  struct ConnectionSeen* seen = bpf_sk_storage_get(&connections, sk, NULL, 0);
  if (seen) take_up(sk, seen);
  return 0;
}

/// ctx: socket, segment. As many segments as the kernel counts for it.
SEC("raw_tp/tcp_retransmit_skb")
int retransmitted(__u64* ctx) {
  struct TcpSlot* slot = slot_of_socket((void*)ctx[0]);
  if (!slot) return 0;
  const struct sk_buff* skb = (void*)ctx[1];
  const struct tcp_skb_cb* segment = (const void*)skb + bpf_core_field_offset(struct sk_buff, cb);
  const __u16 segments = BPF_CORE_READ(segment, tcp_gso_segs);
  __sync_fetch_and_add(&slot->retransmitted, segments ? segments : 1);
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
