/* SPDX-License-Identifier: MIT */
/* Executors, as the other files of lib/api see them. */
#ifndef ASI_API_EXECUTOR_H
#define ASI_API_EXECUTOR_H

#include "base/clock.h"

#include <anysync/executor.h>

#include <stdint.h>

struct anysync_task;
struct asi_letter;
struct asi_scheduler;

/* What options mean when they are all zero: every field filled in. */
#define ASI_DEFAULT_OPTIONS                                                                        \
    {                                                                                              \
        .name = "anysync", .stack_size = (size_t)256 * 1024, .grace_ns = ASI_NS_PER_SECOND         \
    }

/* RET_OPTIONS are OPTIONS (may be NULL) with every field filled in.  Returns 0, or -EINVAL and a
 * sentence. */
int asi_options_complete(const struct anysync_executor_options *options,
        struct anysync_executor_options *ret_options);

/* Give TASK (with a reference for the loop) to EXECUTOR (NULL: the global one), starting its
 * worker if it never ran.  Returns 0, -ESHUTDOWN or the error of the start, with a sentence: then
 * TASK was not used. */
int asi_executor_submit(struct anysync_executor *executor, struct anysync_task *task);

/* The same with LETTER in the place of a task. */
int asi_executor_post(struct anysync_executor *executor, struct asi_letter *letter);

/* Whether the calling thread is EXECUTOR's worker. */
bool asi_executor_is_here(struct anysync_executor *executor);

/* How long EXECUTOR lets a cancelled task clean up. */
int64_t asi_executor_grace(struct anysync_executor *executor);

#endif
