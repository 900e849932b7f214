/* SPDX-License-Identifier: MIT */
/* Running tasks: the steps that anysync_run and its relatives share. */
#ifndef ASI_API_RUN_H
#define ASI_API_RUN_H

#include "sched/wait.h"

#include <anysync/task.h>

/* Run TASK and wait for it, in the way of each name (<anysync/task.h>).  Consumes one reference,
 * the loop's; borrows another. */
int asi_run(struct anysync_task *task, void *ret_result, anysync_time deadline);
int asi_run_here(struct anysync_task *task, void *ret_result, anysync_time deadline);
int asi_await(struct anysync_task *task, void *ret_result, anysync_time deadline);
int asi_run_on(struct anysync_executor *executor, struct anysync_task *task, void *ret_result,
        anysync_time deadline);

/* Start TASK (consumes one reference, the loop's, also on failure; perhaps the only one) on this
 * thread's loop, or without one on the global executor; _on: on EXECUTOR. */
int asi_start(struct anysync_task *task);
int asi_start_on(struct anysync_executor *executor, struct anysync_task *task);

/* A task of FUNCTION, checked, with REFS references; NULL, with a sentence, without memory. */
struct anysync_task *asi_task_make(
        const struct anysync_function *function, const void *argument, uint32_t refs);

/* TASK, a job, was started: wait for it in WORLD until DEADLINE; then ask it to end, and wait for
 * that or, if ABANDON, leave it; collect. */
int asi_wait_for_job(enum asi_world world, struct anysync_task *task, void *ret_result,
        anysync_time deadline, bool abandon);

/* Run TASK, which was given to the loop of a fresh thread, in nested.c. */
int asi_run_nested(struct anysync_task *task, void *ret_result, anysync_time deadline);

/* TASK was started: wait for it in WORLD until DEADLINE, end it then within GRACE_NS, collect.
 * Sets RET_ABANDONED (may be NULL) when it is still running. */
int asi_run_finish(enum asi_world world, struct anysync_task *task, void *ret_result,
        anysync_time deadline, int64_t grace_ns, bool *ret_abandoned);

/* What a call returns whose task was cut short by REASON: -ETIMEDOUT or -ECANCELED.  GONE: it has
 * ended. */
int asi_run_cut_short(struct anysync_task *task, void *ret_result, int reason, bool gone);

#endif
