/* SPDX-License-Identifier: MIT */
/*
 * Sleeping on a word (lib/thread/futex.h): the implementation for systems without futexes, in a
 * copy of its own below other names.
 *
 * Promised                                  Tested by
 *   the same contract                         test_futex.c, which is included here
 *   that it is the other implementation       this_is_the_portable_implementation
 */
#define ASI_PORTABLE_FUTEX
#define asi_futex_wait portable_futex_wait
#define asi_futex_wake portable_futex_wake
#define asi_futex_before_fork portable_futex_before_fork
#define asi_futex_after_fork portable_futex_after_fork
#include "../lib/thread/futex.c"

#include "test_futex.c"

TEST(this_is_the_portable_implementation)
{
    CHECK_EQ(BUCKETS, 64);
    CHECK(asi_futex_wait == portable_futex_wait);
}
