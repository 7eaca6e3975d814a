// SPDX-License-Identifier: Apache-2.0
//
// What a cgroup's path says about Kubernetes, for every cgroup driver and container runtime. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace optipod::agent {

struct CgroupPath {
  enum class Kind {
    kSystem,     ///< nothing of Kubernetes: a service, a session, a plain container
    kKubepods,   ///< a level above the pods: kubepods, kubepods-burstable.slice …
    kPod,        ///< a pod's own cgroup, or something in it that is no container
    kContainer,  ///< a container of a pod (or its sandbox: a path cannot tell), or below one
    kIgnored     ///< a runtime's helper inside a pod (crio-conmon), or below one
  };
  Kind kind = Kind::kSystem;
  std::string pod_uid;       ///< with dashes; of static pods the hash of their configuration
  std::string container_id;  ///< without the runtime's prefix
  std::string qos;           ///< guaranteed, burstable, besteffort
  std::string runtime;       ///< containerd, crio, docker; "" where the path does not say
  /// Components of the path up to the container's own cgroup; more means a descendant of it.
  std::size_t container_depth = 0;
};

/// Where pods are nested (Kubernetes in a pod), the deepest match counts.
CgroupPath parse_cgroup_path(std::string_view path);

/// Number of components: 0 for "/".
std::size_t path_depth(std::string_view path);

}  // namespace optipod::agent
