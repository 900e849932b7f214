/* SPDX-License-Identifier: MIT */
/*
 * Held: in debug builds (make DEBUG=1), the pthread mutexes that each coroutine has locked, so that
 * one which suspends meanwhile is reported.  In other builds there is nothing of it.
 */
#ifndef ASI_THREAD_HELD_H
#define ASI_THREAD_HELD_H

#ifdef ASI_DEBUG

/* Who runs on the calling thread, compared only; NULL: nobody to be reported. */
typedef const void *asi_held_who_fn(void);

/* WHO is asked at each lock.  Once in a process, before the first task runs. */
void asi_held_prepare(asi_held_who_fn *who);

/* OWNER, which runs on this thread and has this NAME, suspends: say what it holds, each place that
 * locks once. */
void asi_held_suspends(const void *owner, const char *name);

/* The same, at its end; what it holds is nobody's from then on. */
void asi_held_ends(const void *owner, const char *name);

#else

#define asi_held_prepare(who) ((void)(who))
#define asi_held_suspends(owner, name) ((void)0)
#define asi_held_ends(owner, name) ((void)0)

#endif

#endif
