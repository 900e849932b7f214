/* SPDX-License-Identifier: MIT */
/*
 * Virtual schedule: the sources of lib/ on threads that are no threads.
 *
 * A scene is a piece of a program: it starts threads, uses the library, and checks what came of it.
 * It runs again and again on one thread of the system, and each time the virtual threads take turns
 * in another order.  A turn may end at each POINT: before an atomic access, a lock, a sleep, a
 * wake, a start or an end of a thread, a free().  Sleeps with a deadline may end there too; the
 * clock moves to the deadline then.  A store may be DELAYED, as processors do: others see it when
 * its thread does something that forbids the delay.
 *
 * Orders are chosen
 *
 *   by depth    all of them, with at most so many turns that end early (preemptions), so many
 *               deadlines that pass early, and so many delayed stores
 *   at random   by a seed
 *   by rank     each thread has a rank, the highest that can run does; at a few random points the
 *               one that runs gets the lowest (Burckhardt et al., "A randomized scheduler with
 *               probabilistic guarantees of finding bugs", 2010)
 *
 * A scene may choose, too (virtual_choose()), and have the system fail it now and then
 * (virtual_disturb()); at random and by rank any sleep may end for no reason.
 *
 * An execution FAILS when a check or an assertion of the library fails, when nobody can go on
 * (a lost wake-up, a deadlock), when memory is used that was freed, when it never ends, or when two
 * threads use the same plain memory, one of them writing, and nothing orders the two (in the build
 * that looks at plain accesses).  The failure prints the order as a text that `--replay` takes.
 *
 * HOW  The library is compiled with -DASI_VIRTUAL, its thread-local variables as plain ones in a
 *   section that is exchanged at each switch, and linked into one object.  What that asks of the
 *   system is renamed: it finds system.c.  All its static memory lies between two symbols and is
 *   set back before each execution; its heap is an arena that starts empty each time.
 *
 * Limits: at most VIRTUAL_THREADS at a time; loads never see older values than the newest that was
 * not delayed; of descriptors there is eventfd(), of fork() what the library does around it;
 * signals are not there (but for a sleep that one ends).
 */
#ifndef VIRTUAL_VIRTUAL_H
#define VIRTUAL_VIRTUAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VIRTUAL_THREADS = 8 };

struct virtual_scene {
    const char *name;
    void (*run)(void);
    int preemptions; /* to explore all orders with */
    int delays;
};

/* SCENE(name, preemptions, delays) { ... }  runs on thread 0, a plain one.  One whose name begins
 * with "planted_" is there to fail, and runs only when it is named. */
#define SCENE(name_, preemptions_, delays_)                                                        \
    static void scene_##name_(void);                                                               \
    static const struct virtual_scene virtual_scene_##name_ = {                                    \
            #name_, scene_##name_, preemptions_, delays_};                                         \
    static const struct virtual_scene *const virtual_pointer_##name_                               \
            __attribute__((used, section("virtual_scenes"))) = &virtual_scene_##name_;             \
    static void scene_##name_(void)

/* A plain thread that runs FUNCTION(ARGUMENT).  Returns its number. */
int virtual_start(void (*function)(void *argument), void *argument);
void virtual_join(int thread);

/* What fork() does to the calling thread, which is number 0: the library's handlers run, as in the
 * parent or, the other threads being gone, as in the child. */
void virtual_fork(bool as_child);

/* How many processors there are; 2 when a scene begins. */
extern int virtual_processors;

/* The number of the thread that runs. */
int virtual_self(void);

/* The execution fails. */
void virtual_fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

#define VIRTUAL_CHECK(condition)                                                                   \
    ((condition) ? (void)0 : virtual_fail("%s:%d: %s", __FILE__, __LINE__, #condition))

/* 0 to COUNT - 1: all of them are tried, like all that may go on. */
unsigned virtual_choose(unsigned count);

/* From now on so many sleeps, at most, may end for no reason or by a signal, and so many
 * allocations and starts of threads may fail. */
void virtual_disturb(int interruptions, int refusals);

/* From now on deadlines pass only when nobody can go on: nothing is late by chance. */
void virtual_be_punctual(void);

/* What is allocated and was not freed, in bytes. */
size_t virtual_in_use(void);

#endif
