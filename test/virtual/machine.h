/* SPDX-License-Identifier: MIT */
/* What the parts of the virtual machine know of each other: virtual.h says what it is. */
#ifndef VIRTUAL_MACHINE_H
#define VIRTUAL_MACHINE_H

#include "virtual.h"

#include "coro/coro.h"

enum { KEYS = 4, MOST_DELAYED = 8, TLS_SIZE = 4096 };

#define FOREVER INT64_MAX

/* When something happened, as each thread counts. */
struct clock {
    uint32_t of[VIRTUAL_THREADS];
};

/* A store that others do not see yet. */
struct delayed {
    volatile void *object;
    size_t size;
    uint64_t value;
    uint64_t under;        /* what is there meanwhile, by atomic accesses */
    struct clock released; /* what who acquires it has seen; if `releases` */
    bool releases;
};

enum thread_state { UNUSED, READY, ASLEEP, ENDED };

struct thread {
    struct asi_coro coro;
    enum thread_state state;
    int number;
    const char *where;     /* its last point */
    const void *sleeps_on; /* a word, a lock, a thread; if ASLEEP */
    int64_t deadline;      /* it wakes then; FOREVER: not by itself */
    bool timed_out;        /* that was why */
    bool yielded;          /* the others first */
    bool awaited;          /* the execution is not over before it ends */
    int rank;              /* if threads have ranks: the highest runs */
    void *(*run)(void *argument);
    void *argument;
    const void *specific[KEYS];
    struct clock seen; /* of the others */
    struct delayed delayed[MOST_DELAYED];
    int delayed_count;
    int saved_errno;
    char tls[TLS_SIZE];
};

extern struct thread threads[VIRTUAL_THREADS];
extern struct thread *running; /* NULL: the explorer */
extern int64_t now_ns;

/* --- schedule.c ------------------------------------------------------------------------------- */

/* Here a turn may end. */
void point(const char *operation, const volatile void *object, const char *where);

/* The running thread sleeps on OBJECT until somebody wakes it, or DEADLINE.  Returns false when the
 * deadline passed. */
bool sleep_on(const void *object, int64_t deadline, const char *where);

/* All who sleep on OBJECT, MOST at most, can go on. */
void wake(const void *object, int most);

/* The others first. */
void give_way(const char *where);

/* Whether a store may be delayed, and is in this execution. */
bool choose_delay(void);

struct thread *thread_new(void *(*run)(void *argument), void *argument);

/* --- memory.c --------------------------------------------------------------------------------- */

/* Before the first execution, and before each. */
void memory_prepare(void);
void memory_reset(void);

void *memory_take(size_t size, size_t alignment);
void memory_give(void *memory, const char *where);

/* SIZE bytes of what was taken are not there any more. */
void memory_unmap(void *memory, size_t size, const char *where);

/* Fail if OBJECT was freed. */
void memory_check(const volatile void *object, const char *where);

/* All that THREAD delayed is seen now. */
void memory_publish(struct thread *thread);

/* What the holder before did happens before what comes; and the other way round. */
void memory_acquire(const volatile void *object);
void memory_release(const volatile void *object);

static inline void clock_join(struct clock *clock, const struct clock *other)
{
    for (int i = 0; i < VIRTUAL_THREADS; i++)
        clock->of[i] = clock->of[i] > other->of[i] ? clock->of[i] : other->of[i];
}

/* --- system.c --------------------------------------------------------------------------------- */

void system_reset(void);

/* The end of the running thread. */
void system_end_thread(void);

/* --- explore.c -------------------------------------------------------------------------------- */

/* The execution is over: it failed, or all has been done. */
void leave(void) __attribute__((noreturn));

#endif
