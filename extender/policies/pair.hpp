// SPDX-License-Identifier: Apache-2.0
//
// What a policy does to many numbers of one node, it does to two at once in one register. Results
// do not depend on it.
#pragma once

#include <cmath>
#include <cstring>

namespace optipod::extender {

/// Arithmetic, comparisons and choices go by element (GCC's and Clang's vector types).
using Pair [[gnu::vector_size(16)]] = double;

inline Pair pair(double both) {
  return Pair{both, both};
}
/// The two at `values`.
inline Pair pair_at(const double* values) {
  Pair p;
  std::memcpy(&p, values, sizeof(p));
  return p;
}
inline Pair smaller(Pair a, Pair b) {
  return b < a ? b : a;
}
inline Pair larger(Pair a, Pair b) {
  return a < b ? b : a;
}
inline double greater(Pair p) {
  return p[0] < p[1] ? p[1] : p[0];
}
inline Pair root(Pair p) {
  return Pair{std::sqrt(p[0]), std::sqrt(p[1])};
}
inline Pair magnitude(Pair p) {
  return larger(p, -p);
}

}  // namespace optipod::extender
