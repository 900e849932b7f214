/* SPDX-License-Identifier: MIT */
/*
 * Calls that wait, each as a piece of a program that can be cut anywhere: by a cancel
 * (scenes_cancel.c), by a deadline (scenes_deadline.c).
 */
#ifndef VIRTUAL_SCENES_CALLS_H
#define VIRTUAL_SCENES_CALLS_H

#include "scenes.h"

#include <errno.h>

enum { SCENE_VALUE = 5 };

struct scene_call {
    /* on thread 0, before all else */
    void (*open)(void);
    /* Makes the call; returns 0 or its code.  Checks what it got, and that it got it or a code. */
    int (*call)(anysync_time deadline);
    /* on thread 1: what the callers wait for comes; NULL: by itself */
    void (*feed)(void);
    /* in a coroutine, when all callers have ended: what goes on by itself, ends; may be NULL */
    void (*settle)(void);
    /* on thread 0, at the end: nothing was lost; all is given back */
    void (*close)(void);
    int callers;    /* 2: another one makes the same call, and has to be served */
    bool coroutine; /* has to be called in one */
    bool endless;   /* has no deadline of its own */
    bool stays;     /* cannot end before it is fed, whatever happens */
};

/* What most of them wait for: an int, SCENE_VALUE.  Open, feed and close of such a call. */
extern struct anysync_future *scene_ready;
void scene_open_ready(void);
void scene_set_ready(void);
void scene_close_ready(void);

/* In a coroutine of a loop that anysync_run_here() made: as scene_configure() does. */
void scene_configure_here(void);

/* Nobody feeds before the callers have ended; nor does time. */
extern bool scene_unfed;

/* Tasks and jobs that ran for the callers. */
extern int scene_begun, scene_ended;

/* The value has come, or a code, and nothing of both. */
int scene_one_of_both(int error, int value);

/* For each name NAME that scene_calls lists there is a scene_call_NAME. */
#define SCENE_CALLS(EACH)                                                                          \
    EACH(sleep)                                                                                    \
    EACH(yield)                                                                                    \
    EACH(wait)                                                                                     \
    EACH(wait_any)                                                                                 \
    EACH(wait_all)                                                                                 \
    EACH(await)                                                                                    \
    EACH(run)                                                                                      \
    EACH(run_on)                                                                                   \
    EACH(spawn)                                                                                    \
    EACH(shield)                                                                                   \
    EACH(offload)                                                                                  \
    EACH(abandoned_job)                                                                            \
    EACH(run_back)                                                                                 \
    EACH(limiter)                                                                                  \
    EACH(receive)                                                                                  \
    EACH(send)                                                                                     \
    EACH(meeting)                                                                                  \
    EACH(generator)                                                                                \
    EACH(reading_ahead)                                                                            \
    EACH(far_generator)                                                                            \
    EACH(generator_close)                                                                          \
    EACH(manager)                                                                                  \
    EACH(group)                                                                                    \
    EACH(group_start)                                                                              \
    EACH(callback)                                                                                 \
    EACH(timer)                                                                                    \
    EACH(shutdown)

#define SCENE_CALL_DECLARE(name) extern const struct scene_call scene_call_##name;
SCENE_CALLS(SCENE_CALL_DECLARE)

#endif
