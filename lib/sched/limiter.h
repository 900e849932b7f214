/* SPDX-License-Identifier: MIT */
/*
 * Limiters: tokens, and who waits for one.  (What they promise: <anysync/offload.h>.)
 *
 * Whoever wants a token and finds none leaves a claim.  Claims of jobs, tasks and threads are one
 * list, first come first served; jobs that gave their token back while they waited for something
 * and want it again stand before all others.
 */
#ifndef ASI_SCHED_LIMITER_H
#define ASI_SCHED_LIMITER_H

#include "base/list.h"

#include <anysync/offload.h>

#include <stdbool.h>

struct asi_party;

/* A place in the list.  Not in it: list.previous is NULL. */
struct asi_claim {
    struct asi_list list;
    struct asi_party *party; /* gets a delivery with the token; NULL: a job, which is launched */
};

/* The one that is meant where NULL is given. */
struct anysync_limiter *asi_limiter_or_default(struct anysync_limiter *limiter);

/* One that always has a token: for jobs that only wait for something outside of the process. */
struct anysync_limiter *asi_limiter_unlimited(void);

/* That of names that are looked up (<anysync/resolve.h>): 8 tokens. */
struct anysync_limiter *asi_limiter_of_names(void);

/* That of files that are closed (<anysync/file.h>): 8 tokens, which nobody else can have, so that
 * who holds the last one of another limiter can close what it has. */
struct anysync_limiter *asi_limiter_of_closes(void);

/* For a job: whether it has a token now; otherwise CLAIM waits for one in the list. */
bool asi_limiter_ask(struct anysync_limiter *limiter, struct asi_claim *claim);

/* Take CLAIM out of the list.  False: it is not there, perhaps because it has its token by now. */
bool asi_limiter_withdraw(struct anysync_limiter *limiter, struct asi_claim *claim);

/* A token comes back: it goes to the next in the list.  May launch jobs. */
void asi_limiter_give_back(struct anysync_limiter *limiter);

/* For a job that gave its token back: wait for one before all others; after a while, take one that
 * there is not.  Blocks the thread.  (Why: docs/decisions/0023.) */
void asi_limiter_take_again(struct anysync_limiter *limiter);

#endif
