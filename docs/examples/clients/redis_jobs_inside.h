/* SPDX-License-Identifier: MIT */
/* What redis_jobs.c gives to redis_jobs_work.c. */
#ifndef CLIENTS_REDIS_JOBS_INSIDE_H
#define CLIENTS_REDIS_JOBS_INSIDE_H

#include "redis_jobs.h"

#include <stdbool.h>
#include <stdio.h>

/* A connection that is made again when it was lost.  Of one loop. */
struct jobs_place {
    const struct redis_options *where;
    struct redis *redis; /* NULL: there is none now */
};

/* Have a connection, and try until DEADLINE. */
int jobs_connect(struct jobs_place *place, anysync_time deadline) ANYSYNC_MUST_CHECK;

/* REDIS, which was PLACE's when a command failed, is of no use any more.  Waits a moment before the
 * next attempt; what that returns. */
int jobs_disconnect(struct jobs_place *place, struct redis *redis) ANYSYNC_MUST_CHECK;

/* Whether ERROR says that the server is away: try again. */
bool jobs_is_away(int error);

/* A name unlike any other. */
void jobs_make_name(const char *prefix, char name[JOB_NAME]);

const char *jobs_queue(const struct jobs_options *options);

#endif
