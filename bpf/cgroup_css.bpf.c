// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// cgroup.bpf.c for Linux 6.16 and newer.
#include "bpf/slot.bpf.h"

extern void css_rstat_flush(struct cgroup_subsys_state* css) __ksym;
#define OPTIPOD_FLUSH(group) css_rstat_flush(&(group)->self)

#include "bpf/cgroup.bpf.c"
