/* SPDX-License-Identifier: MIT */
/*
 * Signals that are awaited.
 *
 * The handler puts each signal into the pipe of every object that wants it (thread/caught.h), and
 * who waits reads one record from there: one read takes one record whole, whoever else reads.  So
 * waiting is what it is for any descriptor, in threads and in coroutines.
 *
 * CLOSE  puts a record of its own into the pipe.  Who reads that puts it back for the next one, and
 *   leaves; so all who wait go, one after another.  The pipe is given back when the last has gone.
 */
#include <anysync/signal.h>

#include "base/memory.h"
#include "sched/error.h"
#include "thread/caught.h"
#include "thread/fork.h"
#include "thread/refs.h"

#include <anysync/io.h>

#include <errno.h>

struct anysync_signals {
    struct asi_refs refs; /* of the owner, and of each who waits */
    uint32_t generation;  /* [const] of the process that opened it */
    int place;            /* [const] */
    uint64_t set;         /* [const] bit N - 1: signal N */
};

static void unref(struct anysync_signals *signals)
{
    if (!asi_refs_drop(&signals->refs))
        return;
    if (signals->generation == asi_fork_generation)
        asi_caught_give(signals->place);
    asi_free(signals);
}

static int check_numbers(const int *numbers, size_t count, uint64_t *ret_set)
{
    uint64_t set = 0;

    for (size_t i = 0; i < count; i++) {
        if (asi_caught_check(numbers[i]) != 0)
            return asi_call_fails(-EINVAL, "signal %d cannot be awaited", numbers[i]);
        set |= (uint64_t)1 << (numbers[i] - 1);
    }
    if (set == 0)
        return asi_call_fails(-EINVAL, "a set of no signals cannot be opened");
    *ret_set = set;
    return 0;
}

int anysync_signals_open(const int *numbers, size_t count, struct anysync_signals **ret_signals)
{
    uint64_t set = 0;
    int error = check_numbers(numbers, count, &set);

    if (error)
        return error;
    struct anysync_signals *signals = asi_allocate(sizeof(*signals));
    if (!signals)
        return asi_call_fails(-ENOMEM, "no memory for a set of signals");
    int place = asi_caught_open(set);
    if (place < 0) {
        asi_free(signals);
        return asi_call_fails(place, "signals could not be opened: %s",
                place == -EMFILE ? "too many sets are open, or no descriptors are left"
                                 : "the system keeps one of them for itself");
    }
    asi_refs_init(&signals->refs, 1);
    signals->generation = asi_fork_generation;
    signals->place = place;
    signals->set = set;
    *ret_signals = signals;
    return 0;
}

static int wait(struct anysync_signals *signals, anysync_time deadline, struct asi_caught *record)
{
    int fd = asi_caught_read_end(signals->place);

    for (;;) {
        ssize_t size = anysync_read(fd, record, sizeof(*record), deadline);
        if (size < 0)
            return (int)size;
        if (record->number == 0) {
            asi_caught_put(signals->place, record); /* for the next one */
            return -EPIPE;
        }
        if (signals->set & (uint64_t)1 << (record->number - 1))
            return 0; /* else it is from the pipe's last user */
    }
}

int anysync_signal_wait(
        struct anysync_signals *signals, anysync_time deadline, struct anysync_signal *ret_signal)
{
    struct asi_caught record;

    if (signals->generation != asi_fork_generation)
        return asi_call_fails(
                -EOWNERDEAD, "these signals were opened by the process this one was forked from");
    asi_refs_add(&signals->refs);
    int error = wait(signals, deadline, &record);
    unref(signals);
    if (error)
        return asi_call_fails(error, "waiting for a signal: %s",
                error == -EPIPE     ? "the set was closed"
                : error == -EDEADLK ? "a callback of the loop cannot: spawn a coroutine that does"
                                    : anysync_error_text(error));
    *ret_signal = (struct anysync_signal){
            record.number, record.code, record.process, record.user, record.value};
    return 0;
}

struct anysync_signals *anysync_signals_close(struct anysync_signals *signals)
{
    static const struct asi_caught last = {.number = 0};

    if (!signals)
        return NULL;
    if (signals->generation == asi_fork_generation) {
        asi_caught_close(signals->place);
        asi_caught_put(signals->place, &last);
    }
    unref(signals);
    return NULL;
}
