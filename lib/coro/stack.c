/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* madvise(), MAP_ANONYMOUS */
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
 * Huge pages are refused for slabs: one touch would make 2 MiB resident where 4 KiB are needed.
 */
#include "coro/stack.h"

#include "base/list.h"
#include "base/memory.h"
#include "coro/coro.h"
#include "coro/overflow.h"
#include "thread/fork.h"
#include "thread/lock.h"
#include "thread/once.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13 */
#endif

enum { STACKS = 64, CLASSES = 16, MOST_SIZE = 1 << 30 };

struct asi_slab {
    struct asi_list list;     /* [lock] in its class's slabs while it has cold stacks */
    struct asi_class *class_; /* [const] */
    char *base;               /* [const] */
    uint64_t cold;            /* [lock] bit i: stack i is free and has no pages */
    uint64_t guarded;         /* [lock] bit i: stack i has its guard */
};

struct asi_class {
    size_t size;           /* [const] bytes of each stack; 0: this class is not used yet */
    struct asi_list slabs; /* [lock] those with cold stacks */
    struct asi_list full;  /* [lock] the others: reachable, for leak checkers */
    struct asi_coro *warm; /* [lock] */
    unsigned warm_count;   /* [lock] */
};

static struct asi_lock lock = ASI_LOCK_INIT;
static struct asi_class classes[CLASSES]; /* [lock] */
static struct asi_once once = ASI_ONCE_INIT;
static bool light_guards = true; /* [lock] false after the kernel said no */

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

/* Put the guard below stack INDEX in force. */
static bool guard(struct asi_slab *slab, unsigned index, const char **ret_why)
{
    char *start = slab->base + index * (ASI_GUARD_SIZE + slab->class_->size);

    if (slab->guarded & (uint64_t)1 << index)
        return true;
    if (light_guards && !asi_fault("guard")) {
        if (madvise(start, ASI_GUARD_SIZE, MADV_GUARD_INSTALL) == 0) {
            slab->guarded |= (uint64_t)1 << index;
            return true;
        }
        light_guards = errno != EINVAL; /* an older kernel; other errors may pass */
    }
    if (mprotect(start, ASI_GUARD_SIZE, PROT_NONE) != 0) {
        *ret_why = "no mapping is left for a stack's guard (raise vm.max_map_count)";
        return false;
    }
    slab->guarded |= (uint64_t)1 << index;
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

    char *low = slab->base + index * (ASI_GUARD_SIZE + size) + ASI_GUARD_SIZE;
    struct asi_coro *coro = (struct asi_coro *)(void *)(low + size - ASI_CORO_ROOM);
    memset(coro, 0, sizeof(*coro));
    coro->low = low;
    coro->size = size - ASI_CORO_ROOM;
    coro->slab = slab;
    coro->index = index;
#ifdef ASI_TSAN
    coro->fiber = __tsan_create_fiber(0);
#endif
#ifdef ASI_VALGRIND
    coro->valgrind_id = VALGRIND_STACK_REGISTER(low, low + coro->size);
#endif
    return coro;
}

/* Give the pages of a stack back to the system. */
static void put_to_sleep(struct asi_coro *coro)
{
    struct asi_slab *slab = coro->slab;
    unsigned index = coro->index;
    char *low = coro->low;

#ifdef ASI_TSAN
    __tsan_destroy_fiber(coro->fiber);
#endif
#ifdef ASI_VALGRIND
    VALGRIND_STACK_DEREGISTER(coro->valgrind_id);
#endif
    (void)madvise(low, slab->class_->size, MADV_DONTNEED); /* coro itself is gone now */
    if (slab->cold == 0) {
        asi_list_remove(&slab->list);
        asi_list_add(&slab->class_->slabs, &slab->list);
    }
    slab->cold |= (uint64_t)1 << index;
    if (slab->cold == UINT64_MAX)
        slab_free(slab);
}

struct asi_coro *asi_stack_take(size_t size, const char **ret_why)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct asi_coro *coro = NULL;

    if (size > MOST_SIZE || size > SIZE_MAX / STACKS - 2 * ASI_GUARD_SIZE) {
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
        coro = class_->warm;
        class_->warm = coro->next;
        class_->warm_count--;
    } else {
        struct asi_slab *slab =
                asi_list_is_empty(&class_->slabs)
                        ? slab_new(class_, ret_why)
                        : asi_container_of(class_->slabs.next, struct asi_slab, list);
        if (slab)
            coro = wake_up(slab, ret_why);
    }
    asi_lock_give(&lock);
#ifdef ASI_ASAN
    if (coro) /* what a suspended body holds is in use */
        __lsan_register_root_region(coro->low, coro->size);
#endif
    return coro;
}

void asi_stack_give(struct asi_coro *coro)
{
    struct asi_class *class_ = coro->slab->class_;

#ifdef ASI_ASAN
    __asan_unpoison_memory_region(coro->low, coro->size); /* frames that never returned */
    __lsan_unregister_root_region(coro->low, coro->size);
#endif
    asi_lock_take(&lock);
    if (class_->warm_count < ASI_WARM_STACKS) {
        coro->next = class_->warm;
        class_->warm = coro;
        class_->warm_count++;
    } else {
        put_to_sleep(coro);
    }
    asi_lock_give(&lock);
}

bool asi_stack_guards(const struct asi_coro *coro, const void *address)
{
    uintptr_t low = (uintptr_t)coro->low;
    uintptr_t at = (uintptr_t)address;

    return coro->slab && at < low && at >= low - ASI_GUARD_SIZE;
}
