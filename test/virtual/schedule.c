/* SPDX-License-Identifier: MIT */
/*
 * Whose turn it is.  (What a virtual schedule is: virtual.h.)
 *
 * Each choice is a number; the list of them is the order of an execution, and its replay.  By
 * depth, the list of the last execution with its last choice that has another alternative changed
 * to that one, and cut off there, is the beginning of the next.  What is chosen first is always to
 * go on, so an execution without early ends of turns comes first.
 */
#include "machine.h"

#include "explore.h"

#include <errno.h>
#include <string.h>

struct thread threads[VIRTUAL_THREADS];
struct thread *running;
int64_t now_ns;

enum { MOST_POINTS = 200000 };

/* Who may run besides the running thread: those who are ready, and, if EARLY, behind them those who
 * sleep with a deadline.  RET_READY: how many are ready; may be NULL. */
static unsigned candidates(struct thread *list[VIRTUAL_THREADS], bool early, unsigned *ret_ready)
{
    unsigned count = 0;

    for (int i = 0; i < VIRTUAL_THREADS; i++) {
        if (&threads[i] != running && threads[i].state == READY && !threads[i].yielded)
            list[count++] = &threads[i];
    }
    if (ret_ready)
        *ret_ready = count;
    for (int i = 0; early && !explore.punctual && i < VIRTUAL_THREADS; i++) {
        if (&threads[i] != running && threads[i].state == ASLEEP && threads[i].deadline != FOREVER)
            list[count++] = &threads[i];
    }
    return count;
}

/* THREAD goes on; if it slept, because its deadline passed. */
static void run(struct thread *thread)
{
    struct thread *from = running;

    if (thread->state == ASLEEP) {
        if (now_ns < thread->deadline)
            now_ns = thread->deadline;
        thread->timed_out = true;
        thread->state = READY;
    }
    if (thread == from)
        return;
    from->saved_errno = errno;
    memcpy(from->tls, tls_begin, (size_t)(tls_end - tls_begin));
    memcpy(tls_begin, thread->tls, (size_t)(tls_end - tls_begin));
    running = thread;
    asi_coro_swap(&from->coro, &thread->coro);
    errno = from->saved_errno;
}

static struct thread *highest(struct thread **list, unsigned count)
{
    struct thread *best = list[0];

    for (unsigned i = 1; i < count; i++)
        best = list[i]->rank > best->rank ? list[i] : best;
    return best;
}

static void count_point(const char *where)
{
    running->where = where;
    if (++explore.points > MOST_POINTS)
        virtual_fail("it does not end");
}

void point(const char *operation, const volatile void *object, const char *where)
{
    struct thread *list[VIRTUAL_THREADS];

    running->seen.of[running->number]++;
    explore_note(operation, object, where);
    count_point(where);
    if (!explore_may_switch())
        return;
    unsigned count = candidates(list, true, NULL);
    if (count == 0)
        return;
    if (explore.way == BY_RANK) {
        struct thread *next = highest(list, count);
        if (next->rank > running->rank)
            run(next);
        return;
    }
    unsigned chosen = explore_choose(count + 1);
    if (chosen > 0) {
        explore.preemptions++;
        run(list[chosen - 1]);
    }
}

/* Nobody is ready: the clock goes on to the next deadline. */
static void pass_time(void)
{
    struct thread *first = NULL;

    for (int i = 0; i < VIRTUAL_THREADS; i++) {
        struct thread *thread = &threads[i];
        if (thread->state == ASLEEP && thread->deadline != FOREVER &&
                (!first || thread->deadline < first->deadline))
            first = thread;
    }
    if (!first)
        explore_stuck();
    run(first);
}

/* The running thread cannot go on, or does not want to. */
static void next_turn(void)
{
    struct thread *list[VIRTUAL_THREADS];
    bool early = explore.way == BY_DEPTH && explore_may_switch();
    unsigned ready, count = candidates(list, early, &ready);

    if (ready == 0) {
        for (int i = 0; i < VIRTUAL_THREADS; i++)
            threads[i].yielded = false;
        count = candidates(list, early, &ready);
    }
    if (ready == 0) {
        if (running->state != READY)
            pass_time();
        return;
    }
    if (explore.way == BY_RANK) {
        run(highest(list, ready));
        return;
    }
    unsigned chosen = explore_choose(count);
    explore.preemptions += chosen >= ready; /* its deadline passes early */
    run(list[chosen]);
}

bool sleep_on(const void *object, int64_t deadline, const char *where)
{
    running->where = where;
    running->sleeps_on = object;
    running->deadline = deadline;
    running->timed_out = false;
    running->state = ASLEEP;
    next_turn();
    return !running->timed_out;
}

void wake(const void *object, int most)
{
    for (int i = 0; i < VIRTUAL_THREADS && most > 0; i++) {
        if (threads[i].state == ASLEEP && threads[i].sleeps_on == object) {
            threads[i].state = READY;
            most--;
        }
    }
}

void give_way(const char *where)
{
    count_point(where);
    running->yielded = true;
    next_turn();
    running->yielded = false;
}

bool choose_delay(void)
{
    if (!explore_may_delay())
        return false;
    bool chosen = explore_choose(2) == 1;
    explore.delays += chosen;
    return chosen;
}

static void begin(struct asi_coro *coro)
{
    struct thread *self = (struct thread *)(void *)coro; /* its first member */

    (void)self->run(self->argument);
    system_end_thread();
    memory_publish(self);
    memory_release(self);
    self->state = ENDED;
    wake(self, VIRTUAL_THREADS);
    if (explore_is_over())
        leave();
    next_turn();
    __builtin_unreachable();
}

void asi_coro_first(struct asi_coro *coro, void (*begin)(struct asi_coro *coro));

struct thread *thread_new(void *(*run_)(void *argument), void *argument)
{
    for (int i = 0; i < VIRTUAL_THREADS; i++) {
        struct thread *thread = &threads[i];
        if (thread->state != UNUSED)
            continue;
        char *stack = thread->coro.low;
        size_t size = thread->coro.size;
        memset(thread, 0, offsetof(struct thread, tls));
        memcpy(thread->tls, tls_fresh, (size_t)(tls_end - tls_begin));
        thread->coro.low = stack;
        thread->coro.size = size;
        thread->number = i;
        thread->state = READY;
        thread->deadline = FOREVER;
        thread->run = run_;
        thread->argument = argument;
        thread->where = "its start";
        thread->rank = explore_rank();
        if (running)
            thread->seen = running->seen;
        thread->seen.of[i] = 1;
        asi_coro_first(&thread->coro, begin);
        return thread;
    }
    return NULL;
}
