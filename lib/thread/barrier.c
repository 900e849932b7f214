/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* syscall() */
#include "thread/barrier.h"

#include "base/assert.h"
#include "thread/atomic.h"
#include "thread/fork.h"

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

/* Whether this process has asked for them; a child asks again. */
static struct {
    asi_atomic(uint32_t) generation; /* + 1, of the process that was told so */
    asi_atomic(bool) available;
} answer;

bool asi_barrier_available(void)
{
    /* Acquire: `available` is of this generation.  Any thread may find out the same. */
    if (asi_load(&answer.generation, acquire) != asi_fork_generation + 1) {
        asi_store(&answer.available, membarrier(REGISTER_HEAVY) == 0, relaxed); /* see there */
        asi_store(&answer.generation, asi_fork_generation + 1, release);        /* after it */
    }
    return asi_load(&answer.available, relaxed); /* see above */
}

void asi_barrier_heavy(void)
{
    long status = membarrier(HEAVY);

    ASI_ASSERT(status == 0, "membarrier() failed after it had been said to be available");
}
