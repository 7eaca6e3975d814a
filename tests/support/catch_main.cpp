// SPDX-License-Identifier: Apache-2.0
// Catch2 2.x keeps its implementation in the header and wants it once; 3.x is a library with a
// main.
#if !__has_include(<catch2/catch_all.hpp>)
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
#endif
