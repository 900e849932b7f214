/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* syscall() */
#include "thread/barrier.h"

#include "base/assert.h"
#include "thread/atomic.h"
#include "thread/fork.h"

#include <errno.h>
#include <stdint.h>

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

enum { HEAVY = 1 << 3, REGISTER_HEAVY = 1 << 4 }; /* MEMBARRIER_CMD_(REGISTER_)PRIVATE_EXPEDITED */

static long membarrier(int command)
{
#if defined(__linux__) && defined(SYS_membarrier)
    return syscall(SYS_membarrier, command, 0, 0);
#else
    (void)command;
    return -1;
#endif
}

/* Whether there are such barriers, and 2 * (1 + the generation of the process that asked for them):
 * a child asks again.  One word, so that nothing has to be ordered. */
static asi_atomic(uint64_t) answer;

bool asi_barrier_available(void)
{
    uint64_t mine = 2 * ((uint64_t)asi_fork_generation + 1);
    uint64_t known = asi_load(&answer, relaxed);

    if ((known & ~(uint64_t)1) != mine) { /* any thread may find out the same */
        known = mine + (membarrier(REGISTER_HEAVY) == 0);
        asi_store(&answer, known, relaxed); /* as above */
    }
    return known & 1;
}

void asi_barrier_heavy(void)
{
    while (membarrier(HEAVY) != 0) /* ENOMEM: for its list of processors; others free some */
        ASI_ASSERT(errno == ENOMEM, "membarrier() failed after it had been said to be available");
}
