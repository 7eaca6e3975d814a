// SPDX-License-Identifier: Apache-2.0
//
// The policy safe does everything twice, for CPU and for memory: both at once in one register.
#pragma once

#include <cmath>

namespace optipod::extender {

/// [0] CPU, [1] memory. Arithmetic and comparisons go by element (GCC's and Clang's vector types).
using Pair [[gnu::vector_size(16)]] = double;

inline Pair pair(double both) {
  return Pair{both, both};
}
inline Pair smaller(Pair a, Pair b) {
  return b < a ? b : a;
}
inline Pair larger(Pair a, Pair b) {
  return a < b ? b : a;
}
inline double lesser(Pair p) {
  return p[1] < p[0] ? p[1] : p[0];
}
inline Pair root(Pair p) {
  return Pair{std::sqrt(p[0]), std::sqrt(p[1])};
}
inline Pair magnitude(Pair p) {
  return larger(p, -p);
}

}  // namespace optipod::extender
