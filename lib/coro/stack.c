/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* madvise(), syscall(), MAP_ANONYMOUS */
/*
 * Stacks.
 *
 * SHAPE  Stacks of one size come in slabs of 64, each slab one mapping:
 *
 *        slab->base                                                      + 64 * (guard + size)
 *        | guard | stack ...... coro | guard | stack ...... coro | guard | ...
 *
 *   A stack grows down towards its guard; its struct asi_coro lies at its top, on the page that is
 *   touched anyway.  Free stacks are of two kinds: warm ones, on a list, keep their pages, and
 *   cold ones, a bit in their slab, have none.  Warm ones are taken first, the last given first,
 *   for the sake of the caches.
 *
 * GUARDS are made in batches that grow with the slab, and are whole slabs for who has many: one
 *   system call for 64 guards costs half of 64 calls.
 *
 * TRIMMING  What is warm beyond ASI_WARM_STACKS is spare.  The least number of warm stacks since
 *   the last trim tells how many of them nobody has needed since: those go.  So a program whose
 *   bursts come often keeps its stacks, and one whose burst is over does not.  They go in order of
 *   the list, which is about that of the slabs: a slab whose stacks are all free is unmapped in one
 *   call.
 *
 * Huge pages are refused for slabs: one touch would make 2 MiB resident where 4 KiB are needed.
 */
#include "coro/stack.h"

#include "base/list.h"
#include "base/memory.h"
#include "base/tools.h"
#include "coro/coro.h"
#include "coro/overflow.h"
#include "thread/flag.h"
#include "thread/fork.h"
#include "thread/lock.h"
#include "thread/once.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/syscall.h>
#endif

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13 */
#endif

enum {
    STACKS = 64,
    CLASSES = 16,
    MOST_SIZE = 1 << 30,
    MANY = 256, /* stacks in use: from here on, guards are made for whole slabs */
    LEAST_VECTOR = 8,
    TRIM_CHUNK = 256 /* stacks given back while the lock is held */
};

struct asi_slab {
    struct asi_list list;     /* [lock] in its class's slabs while it has cold stacks */
    struct asi_class *class_; /* [const] */
    char *base;               /* [const] */
    struct asi_list leaving;  /* [lock] while stacks of it are given back */
    uint64_t cold;            /* [lock] bit i: stack i is free and has no pages */
    uint64_t parting;         /* [lock] bit i: stack i is free and about to lose its pages */
    unsigned guarded;         /* [lock] so many stacks, from the first on, have their guard */
};

struct asi_class {
    size_t size;           /* [const] bytes of each stack; 0: this class is not used yet */
    struct asi_list slabs; /* [lock] those with cold stacks */
    struct asi_list full;  /* [lock] the others: reachable, for leak checkers */
    struct asi_coro *warm; /* [lock] */
    unsigned warm_count;   /* [lock] */
    unsigned least_warm;   /* [lock] since the last trim */
    unsigned in_use;       /* [lock] */
};

static struct asi_lock lock = ASI_LOCK_INIT;
static struct asi_class classes[CLASSES]; /* [lock] */
static struct asi_once once = ASI_ONCE_INIT;
static bool light_guards = true;  /* [lock] false after the kernel said no */
static bool vector_guards = true; /* [lock] likewise, for many in one call */
static struct asi_counter spare;  /* [lock] warm stacks beyond what each class keeps */

static void before_fork(void)
{
    asi_lock_take(&lock);
}

static void after_fork(void)
{
    asi_lock_give(&lock);
}

static void prepare(void)
{
    static const struct asi_fork_part part = {.before = before_fork, .after = after_fork};

    asi_fork_add(&part);
    asi_overflow_install();
    /* Who says yes to an advice that does not exist (emulators do) has not made guards either. */
    if (madvise(NULL, 0, -1) == 0)
        light_guards = false;
    asi_tools_check_build();
    if (asi_tools_valgrind())
        vector_guards = false; /* it does not know that call, and says so at length */
}

/* The class for stacks of SIZE, NULL when there are too many sizes. */
static struct asi_class *class_of(size_t size)
{
    for (int i = 0; i < CLASSES; i++) {
        struct asi_class *class_ = &classes[i];
        if (class_->size == 0) {
            class_->size = size;
            asi_list_init(&class_->slabs);
            asi_list_init(&class_->full);
        }
        if (class_->size == size)
            return class_;
    }
    return NULL;
}

static struct asi_slab *slab_new(struct asi_class *class_, const char **ret_why)
{
    size_t bytes = STACKS * (ASI_GUARD_SIZE + class_->size);
    struct asi_slab *slab = asi_allocate_zero(sizeof(*slab));
    void *base = MAP_FAILED;

    if (slab && !asi_fault("mmap"))
        base = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (base == MAP_FAILED) {
        asi_free(slab);
        *ret_why =
                "no address space or no mapping is left for stacks (ulimit -v, vm.max_map_count)";
        return NULL;
    }
#ifdef MADV_NOHUGEPAGE
    (void)madvise(base, bytes, MADV_NOHUGEPAGE);
#endif
    slab->class_ = class_;
    slab->base = base;
    slab->cold = UINT64_MAX;
    asi_list_add(&class_->slabs, &slab->list);
    return slab;
}

static void slab_free(struct asi_slab *slab)
{
    asi_list_remove(&slab->list);
    munmap(slab->base, STACKS * (ASI_GUARD_SIZE + slab->class_->size));
    asi_free(slab);
}

static char *guard_of(const struct asi_slab *slab, unsigned index)
{
    return slab->base + index * (ASI_GUARD_SIZE + slab->class_->size);
}

/* Make light guards for COUNT stacks of SLAB in one call.  Returns how many it made. */
static unsigned guard_many(struct asi_slab *slab, unsigned count)
{
#if defined(SYS_process_madvise) && defined(SYS_pidfd_open)
    struct iovec guards[STACKS];

    if (!vector_guards || count < LEAST_VECTOR)
        return 0;
    long self = syscall(SYS_pidfd_open, getpid(), 0);
    if (self < 0)
        return 0; /* no descriptor is left; or the kernel is older, and has no light guards */
    for (unsigned i = 0; i < count; i++)
        guards[i] = (struct iovec){guard_of(slab, slab->guarded + i), ASI_GUARD_SIZE};
    long bytes = syscall(SYS_process_madvise, (int)self, guards, count, MADV_GUARD_INSTALL, 0);
    if (bytes < 0 && errno != ENOMEM && errno != EAGAIN && errno != EINTR)
        vector_guards = false;
    close((int)self);
    return bytes > 0 ? (unsigned)(bytes / ASI_GUARD_SIZE) : 0;
#else
    (void)slab;
    (void)count;
    return 0;
#endif
}

/* Put the guard below stack INDEX in force, and perhaps some more. */
static bool guard(struct asi_slab *slab, unsigned index, const char **ret_why)
{
    char *start = guard_of(slab, index);

    if (index < slab->guarded)
        return true;
    ASI_ASSERT(index == slab->guarded, "stacks were not taken from below");
    if (light_guards && !asi_fault("guard")) {
        unsigned batch = slab->class_->in_use >= MANY ? STACKS - index : index;
        slab->guarded += guard_many(slab, batch < STACKS - index ? batch : STACKS - index);
        if (index < slab->guarded)
            return true;
        if (madvise(start, ASI_GUARD_SIZE, MADV_GUARD_INSTALL) == 0) {
            slab->guarded++;
            return true;
        }
        light_guards = errno != EINVAL; /* an older kernel; other errors may pass */
    }
    if (mprotect(start, ASI_GUARD_SIZE, PROT_NONE) != 0) {
        *ret_why = "no mapping is left for a stack's guard (raise vm.max_map_count)";
        return false;
    }
    slab->guarded++;
    return true;
}

/* A cold stack of SLAB, made ready. */
static struct asi_coro *wake_up(struct asi_slab *slab, const char **ret_why)
{
    unsigned index = (unsigned)__builtin_ctzll(slab->cold);
    size_t size = slab->class_->size;

    if (!guard(slab, index, ret_why))
        return NULL;
    slab->cold &= slab->cold - 1;
    if (slab->cold == 0) {
        asi_list_remove(&slab->list);
        asi_list_add(&slab->class_->full, &slab->list);
    }

    char *low = guard_of(slab, index) + ASI_GUARD_SIZE;
    struct asi_coro *coro = (struct asi_coro *)(void *)(low + size - ASI_CORO_ROOM);
    memset(coro, 0, sizeof(*coro));
    coro->low = low;
    coro->size = size - ASI_CORO_ROOM;
    coro->slab = slab;
    coro->index = index;
#ifdef ASI_TSAN
    coro->fiber = __tsan_create_fiber(0);
#endif
    coro->tool_stack = asi_tools_add_stack(low, low + coro->size - 1);
    return coro;
}

/* The next warm stack of CLASS_, which has one. */
static struct asi_coro *pop_warm(struct asi_class *class_)
{
    struct asi_coro *coro = class_->warm;

    ASI_ASSERT(coro, "there are fewer warm stacks than were counted");
    class_->warm = coro->next;
    if (class_->warm_count > ASI_WARM_STACKS)
        asi_counter_add(&spare, (uint64_t)-1);
    if (--class_->warm_count < class_->least_warm)
        class_->least_warm = class_->warm_count;
    return coro;
}

struct asi_coro *asi_stack_take(size_t size, const char **ret_why)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct asi_coro *coro = NULL;

    if (size > MOST_SIZE || size > SIZE_MAX / STACKS - 2 * (size_t)ASI_GUARD_SIZE) {
        *ret_why = "a stack of more than 1 GiB, or than this address space holds, was asked for";
        return NULL;
    }
    size = (size + page - 1) & ~(page - 1);
    asi_once_run(&once, prepare);
    asi_lock_take(&lock);
    struct asi_class *class_ = class_of(size);
    if (!class_) {
        *ret_why = "coroutines of more than 16 different stack sizes are in use";
    } else if (class_->warm) {
        coro = pop_warm(class_);
    } else {
        struct asi_slab *slab =
                asi_list_is_empty(&class_->slabs)
                        ? slab_new(class_, ret_why)
                        : asi_container_of(class_->slabs.next, struct asi_slab, list);
        if (slab)
            coro = wake_up(slab, ret_why);
    }
    if (coro)
        class_->in_use++;
    asi_lock_give(&lock);
#if ASI_TOOLS
    if (coro && ASI_HAS_LSAN) /* what a suspended body holds is in use */
        asi_lsan_add_root(coro->low, coro->size);
#endif
    return coro;
}

void asi_stack_forget(struct asi_coro *coro)
{
#if ASI_TOOLS
    if (asi_asan_unpoison)
        asi_asan_unpoison(coro->low, coro->size);
#endif
    asi_tools_forget(coro->low, coro->size);
}

void asi_stack_give(struct asi_coro *coro)
{
    struct asi_class *class_ = coro->slab->class_;

    asi_stack_forget(coro);
#if ASI_TOOLS
    if (ASI_HAS_LSAN)
        asi_lsan_remove_root(coro->low, coro->size);
#endif
    asi_lock_take(&lock);
    ASI_ASSERT(class_->in_use > 0, "a stack was given back that was not in use");
    coro->next = class_->warm;
    class_->warm = coro;
    class_->in_use--;
    if (++class_->warm_count > ASI_WARM_STACKS)
        asi_counter_add(&spare, 1);
    asi_lock_give(&lock);
}

/* --- trimming --------------------------------------------------------------------------------- */

/* CORO, which was warm, is about to lose its pages, and itself with them. */
static void part_with(struct asi_coro *coro, struct asi_list *leaving)
{
    struct asi_slab *slab = coro->slab;

#ifdef ASI_TSAN
    __tsan_destroy_fiber(coro->fiber);
#endif
    asi_tools_remove_stack(coro->tool_stack);
    if (slab->parting == 0)
        asi_list_add(leaving, &slab->leaving);
    slab->parting |= (uint64_t)1 << coro->index;
}

/* Give the pages of the stacks of SLAB that are parting back to the system. */
static void let_go(struct asi_slab *slab)
{
    size_t stride = ASI_GUARD_SIZE + slab->class_->size;

    asi_list_remove(&slab->leaving);
    if ((slab->cold | slab->parting) == UINT64_MAX) {
        slab_free(slab);
        return;
    }
    if (slab->cold == 0) {
        asi_list_remove(&slab->list);
        asi_list_add(&slab->class_->slabs, &slab->list);
    }
    slab->cold |= slab->parting;
    while (slab->parting) { /* in runs; guards in between stay */
        unsigned first = (unsigned)__builtin_ctzll(slab->parting);
        uint64_t rest = ~(slab->parting >> first);
        unsigned count = rest ? (unsigned)__builtin_ctzll(rest) : STACKS;
        char *low = guard_of(slab, first) + ASI_GUARD_SIZE;
        (void)madvise(low, count * stride - ASI_GUARD_SIZE, MADV_DONTNEED);
        slab->parting &= count < STACKS ? ~((((uint64_t)1 << count) - 1) << first) : 0;
    }
}

/* [lock] Give COUNT warm stacks of CLASS_ back to the system. */
static void trim_some(struct asi_class *class_, unsigned count)
{
    unsigned least = class_->least_warm;
    struct asi_list leaving;

    asi_list_init(&leaving);
    for (unsigned i = 0; i < count; i++)
        part_with(pop_warm(class_), &leaving);
    class_->least_warm = least > count ? least - count : 0; /* nobody needed them */
    while (!asi_list_is_empty(&leaving))
        let_go(asi_container_of(leaving.next, struct asi_slab, leaving));
}

/* How many of the warm stacks of CLASS_ may go. */
static unsigned unneeded(const struct asi_class *class_, bool all)
{
    unsigned idle = all ? class_->warm_count : class_->least_warm;

    return idle > ASI_WARM_STACKS ? idle - ASI_WARM_STACKS : 0;
}

/* Give up to MOST of them back, a few at a time.  Returns how many are left that may go. */
static unsigned trim_class(struct asi_class *class_, bool all, unsigned most)
{
    unsigned rest;

    for (;;) {
        asi_lock_take(&lock);
        rest = unneeded(class_, all);
        unsigned count = rest < TRIM_CHUNK ? rest : TRIM_CHUNK;
        if (count == 0 || most == 0)
            break;
        trim_some(class_, count);
        most -= count < most ? count : most;
        asi_lock_give(&lock);
    }
    if (rest == 0)
        class_->least_warm = class_->warm_count; /* a new period begins */
    asi_lock_give(&lock);
    return rest;
}

bool asi_stacks_spare(void)
{
    return asi_counter_get(&spare) > 0;
}

bool asi_stacks_trim(bool all, unsigned most)
{
    bool more = false;

    for (int i = 0; i < CLASSES; i++) {
        if (trim_class(&classes[i], all, most) > 0)
            more = true;
    }
    return more;
}

bool asi_stack_guards(const struct asi_coro *coro, const void *address)
{
    uintptr_t low = (uintptr_t)coro->low;
    uintptr_t at = (uintptr_t)address;

    return coro->slab && at < low && at >= low - ASI_GUARD_SIZE;
}
