/* SPDX-License-Identifier: MIT */
/*
 * What the library keeps for each thread, in one struct.
 *
 * The upper layers hang their parts on it as untyped pointers; each registers a function that
 * clears its part when a thread ends.  Coroutines never change thread, so a cached address of this
 * struct stays right across a switch.
 */
#ifndef ASI_THREAD_LOCAL_H
#define ASI_THREAD_LOCAL_H

#include "thread/mailbox.h"
#include "thread/recycle.h"
#include "thread/spin.h"

#include <signal.h>
#include <stdbool.h>

struct asi_error;

struct asi_local {
    void *scheduler; /* the loop this thread runs now; NULL on a plain thread */
    void *job;       /* of a pool thread: the job it runs now */
    void *token;     /* of a pool thread: the limiter whose token it holds; lib/sched/job.h */
    void *scope;     /* innermost scope of the thread's code outside tasks; lib/sched/scope.h */
    void *vars;      /* its context variables, likewise; lib/sched/vars.h */
    void *context;   /* one that was let go, kept for the next capture; lib/sched/vars.h */
    void *here;      /* a loop kept for the next run_here */
    void *port;      /* the innermost that calls now what was due; lib/api/port.c */
    struct asi_error *error; /* last error of the thread's code outside tasks; lib/sched/error.h */
    int error_code;
    struct asi_spin spin;
    bool vars_own;      /* lib/sched/vars.h */
    unsigned in_signal; /* inside anysync_future_set_from_signal() */
    unsigned serial;    /* 0: none given yet */
    unsigned selects;   /* which choice is looked at first, next time; lib/api/select.c */
    bool attached;      /* the end-of-thread functions will run */
    bool ours;          /* started by the library */
    bool holds_wake;    /* lib/thread/waiter.h: the next futex wake is held back, in `held_wake` */
    void *held_wake;
    bool fault_stack; /* the loop kept here, or run now, lent it a stack for the overflow handler */
    sigset_t clean_mask;             /* what a child process should start with; when `ours` */
    unsigned sent;                   /* letters of the usual kind, see thread/mailbox.h */
    void *recent[ASI_MAILBOX_AHEAD]; /* the last of them, as hints */
    struct asi_shelf *shelves;       /* owned; asi_recycle_no_shelves until they are needed */
};

/* initial-exec: one instruction to reach it, also from the shared library (a few hundred bytes). */
extern _Thread_local struct asi_local asi_local __attribute__((tls_model("initial-exec")));

/* An object of the recycler, not cleared; NULL when there is no memory. */
static inline void *asi_recycle_take(enum asi_recycle_class kind)
{
    return ASI_RECYCLE_KEEPS ? asi_recycle_take_kept(&asi_local.shelves[kind], kind)
                             : asi_recycle_take_fresh(kind);
}

/* Give it back (consumed). */
static inline void asi_recycle_give(enum asi_recycle_class kind, void *object)
{
    if (ASI_RECYCLE_KEEPS)
        asi_recycle_give_kept(&asi_local.shelves[kind], kind, object);
    else
        asi_recycle_give_fresh(object);
}

/* Have the end-of-thread functions run for this thread.  Cheap after the first time. */
void asi_local_attach_slowly(void);

static inline void asi_local_attach(void)
{
    if (!asi_local.attached)
        asi_local_attach_slowly();
}

/* Call FUNCTION at the end of each attached thread.  Registered once, before the first attach. */
void asi_local_at_exit(void (*function)(struct asi_local *local));

/* The calling thread's number: from 1, never used again. */
unsigned asi_local_serial(void);

#endif
