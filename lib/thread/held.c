/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* RTLD_NEXT, dladdr(), pthread_mutex_clocklock() */
/*
 * Pthread mutexes of coroutines.  (What for: held.h.)
 *
 * A coroutine that suspends while it holds a pthread mutex leaves it to its thread: the next
 * coroutine of that loop that locks it blocks the loop, and with it the one that would unlock.
 * Nothing shows it until two meet.  So this file has functions of the names of the C library's,
 * which a program's calls find first; they call those, and note for the thread what was locked,
 * where, and by whom.  A suspension looks whether anything is noted for its task.
 *
 * Each thread has a list of its own, for a coroutine never changes its thread: so there is nothing
 * to be synchronized but `said`, in which each place that was reported has a slot.  What does not
 * fit is not noted, or said again: this is for finding bugs.
 *
 * Not seen: mtx_lock(), which the C library does by itself; rwlocks; mutexes locked before the
 * library was loaded by dlopen(), or after it by other libraries so loaded.
 */
#include "thread/held.h"

#include <pthread.h>

#ifdef ASI_DEBUG

#include "base/assert.h"
#include "base/say.h"
#include "thread/flag.h"

#include <anysync/base.h>

#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { MOST_HELD = 64, MOST_SAID = 256, LINE_SIZE = 400 };

struct held {
    pthread_mutex_t *mutex;
    const void *owner; /* compared only */
    char *place;       /* of the call that locked it */
};

static _Thread_local struct held held[MOST_HELD];
static _Thread_local unsigned held_count;
static struct asi_pointer said[MOST_SAID]; /* [atomic] places */
static struct asi_pointer prepared;        /* [atomic] &asked, once that is set */
static asi_held_who_fn *asked;

/* --- the C library's own ---------------------------------------------------------------------- */

typedef int lock_fn(pthread_mutex_t *mutex);
typedef int timed_fn(pthread_mutex_t *mutex, const struct timespec *until);
typedef int clock_fn(pthread_mutex_t *mutex, clockid_t clock, const struct timespec *until);

/* The function that follows ours.  It is looked for at its first call, which may come before any
 * constructor has run; several threads find the same. */
static void find(struct asi_pointer *found, const char *name, void *ret_function)
{
    void *symbol = asi_pointer_get(found);

    if (!symbol) {
        symbol = dlsym(RTLD_NEXT, name);
        ASI_ASSERT(symbol, "a debug build needs a C library that is linked dynamically");
        asi_pointer_set(found, symbol);
    }
    memcpy(ret_function, &symbol, sizeof(symbol));
}

/* --- notes ------------------------------------------------------------------------------------ */

static void note(int error, pthread_mutex_t *mutex, void *place)
{
    if ((error != 0 && error != EOWNERDEAD) || held_count == MOST_HELD)
        return;
    asi_held_who_fn **who = asi_pointer_get(&prepared);
    held[held_count++] = (struct held){mutex, who ? (*who)() : NULL, place};
}

static void forget(unsigned index)
{
    held_count--;
    memmove(&held[index], &held[index + 1], (held_count - index) * sizeof(held[0]));
}

static void note_unlock(const pthread_mutex_t *mutex)
{
    for (unsigned i = held_count; i-- > 0;) {
        if (held[i].mutex == mutex) {
            forget(i);
            return;
        }
    }
}

/* Whether nobody has said it of PLACE yet. */
static bool is_first(void *place)
{
    unsigned start = (unsigned)((uintptr_t)place % MOST_SAID);

    for (unsigned i = 0; i < MOST_SAID; i++) {
        struct asi_pointer *slot = &said[(start + i) % MOST_SAID];
        void *there = asi_pointer_get(slot);
        if (!there && asi_pointer_replace(slot, NULL, place))
            return true;
        if (asi_pointer_get(slot) == place)
            return false;
    }
    return true;
}

/* As addr2line wants it. */
static void describe(char *place, char *text, size_t size)
{
    Dl_info info;

    if (!dladdr(place - 1, &info) || !info.dli_fname)
        snprintf(text, size, "%p", (void *)place);
    else
        snprintf(text, size, "%s%s%s(+%#tx)", info.dli_sname ? info.dli_sname : "",
                info.dli_sname ? " in " : "", info.dli_fname, place - 1 - (char *)info.dli_fbase);
}

static void report(const struct held *lock, const char *name, const char *does)
{
    struct asi_say line = {.length = 0};
    char text[LINE_SIZE], place[LINE_SIZE / 2];

    describe(lock->place, place, sizeof(place));
    snprintf(text, sizeof(text),
            "anysync: task \"%.60s\" %s while it holds the pthread mutex %p, locked by %s: ", name,
            does, (void *)lock->mutex, place);
    asi_say_text(&line, text);
    asi_say_text(&line, "unlock it before, or take a mutex of anysync/mutex.h\n");
    asi_say_out(&line);
}

void asi_held_prepare(asi_held_who_fn *who)
{
    asked = who;
    asi_pointer_set(&prepared, &asked);
}

void asi_held_suspends(const void *owner, const char *name)
{
    for (unsigned i = 0; i < held_count; i++) {
        if (held[i].owner == owner && is_first(held[i].place))
            report(&held[i], name, "suspends");
    }
}

void asi_held_ends(const void *owner, const char *name)
{
    for (unsigned i = held_count; i-- > 0;) {
        if (held[i].owner != owner)
            continue;
        if (is_first(held[i].place))
            report(&held[i], name, "ends");
        held[i].owner = NULL;
    }
}

/* --- the names that programs call ------------------------------------------------------------- */

ANYSYNC_API int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    static struct asi_pointer found;
    lock_fn *function;

    find(&found, "pthread_mutex_lock", &function);
    int error = function(mutex);
    note(error, mutex, __builtin_return_address(0));
    return error;
}

ANYSYNC_API int pthread_mutex_trylock(pthread_mutex_t *mutex)
{
    static struct asi_pointer found;
    lock_fn *function;

    find(&found, "pthread_mutex_trylock", &function);
    int error = function(mutex);
    note(error, mutex, __builtin_return_address(0));
    return error;
}

ANYSYNC_API int pthread_mutex_timedlock(pthread_mutex_t *mutex, const struct timespec *until)
{
    static struct asi_pointer found;
    timed_fn *function;

    find(&found, "pthread_mutex_timedlock", &function);
    int error = function(mutex, until);
    note(error, mutex, __builtin_return_address(0));
    return error;
}

#if defined(__GLIBC__)
ANYSYNC_API int pthread_mutex_clocklock(
        pthread_mutex_t *mutex, clockid_t clock, const struct timespec *until)
{
    static struct asi_pointer found;
    clock_fn *function;

    find(&found, "pthread_mutex_clocklock", &function);
    int error = function(mutex, clock, until);
    note(error, mutex, __builtin_return_address(0));
    return error;
}
#endif

ANYSYNC_API int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    static struct asi_pointer found;
    lock_fn *function;

    note_unlock(mutex); /* before: another thread may have it, and this one go, right after */
    find(&found, "pthread_mutex_unlock", &function);
    return function(mutex);
}

#endif
