/* SPDX-License-Identifier: MIT */
/*
 * fork(): the library's locks are taken before it and given back after it, in parent and child; so
 * the child finds nothing half done.  A generation counter tells there what was inherited from what
 * was made since.
 */
#ifndef ASI_THREAD_FORK_H
#define ASI_THREAD_FORK_H

#include <stdint.h>

struct asi_fork_part {
    void (*before)(void);
    void (*in_child)(void); /* in the child, before `after`; NULL: nothing to do there */
    void (*after)(void);    /* in both */
};

/* How many forks lie between this process and the one that started.  Written only in a child,
 * before any other thread exists there. */
extern uint32_t asi_fork_generation;

/* Let PART (borrowed for good) take part; locks of later parts are taken first.  Called once for
 * each, in an asi_once_run(). */
void asi_fork_add(const struct asi_fork_part *part);

#endif
