/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* environ */
/* What the process sees of the library's threads: their numbers, their loops' bases, their
 * children. */
#include <anysync/executor.h>

#include "loop/poller.h"
#include "sched/error.h"
#include "sched/scheduler.h"
#include "thread/fork.h"
#include "thread/local.h"
#include "thread/thread.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

unsigned anysync_thread_serial(void)
{
    return asi_local_serial();
}

struct event_base *anysync_event_base(void)
{
    struct asi_scheduler *here = asi_scheduler_here();

    if (!here) {
        asi_call_fails(-EPERM, "this thread runs no loop, so it has no event base");
        return NULL;
    }
    if (here->generation != asi_fork_generation) {
        asi_call_fails(-EOWNERDEAD, "the loop belongs to the process this one was forked from");
        return NULL;
    }
    int error = asi_poller_open(&here->poller);
    if (error)
        asi_call_fails(error, "no event base could be made: %s", anysync_error_text(error));
    else
        asi_poller_share(&here->poller);
    return here->poller.base;
}

int anysync_process_start(const char *path, char *const *arguments, int *ret_pid)
{
    posix_spawnattr_t attributes;
    sigset_t mask, all;
    pid_t pid;
    int error = posix_spawnattr_init(&attributes);

    if (error)
        return asi_call_fails(-error, "no memory to start %s", path);
    asi_thread_clean_mask(&mask);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &mask);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    error = posix_spawnp(&pid, path, NULL, &attributes, arguments, environ);
    posix_spawnattr_destroy(&attributes);
    if (error)
        return asi_call_fails(
                -error, "%s could not be started: %s", path, anysync_error_text(-error));
    *ret_pid = (int)pid;
    return 0;
}
