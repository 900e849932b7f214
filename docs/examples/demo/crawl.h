/* SPDX-License-Identifier: MIT */
/* Many fetches at once: from plain threads that block, and from one coroutine on the worker. */
#ifndef DEMO_CRAWL_H
#define DEMO_CRAWL_H

#include <anysync.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CRAWL_ERRORS 20 /* after so many a crawl gives up: with timeouts it would seem to hang */

/* What to do. */
struct crawl_plan {
    char *const *urls; /* fetched in turn, and again from the first */
    size_t url_count;
    size_t requests;
    size_t threads;
};

/* What became of it. */
struct crawl_report {
    size_t documents; /* fetched: those of threads and of the coroutine */
    size_t of_coroutine;
    size_t errors;
    uint64_t bytes;
    int64_t elapsed_ns;
    int64_t p50_ns;
    int64_t p99_ns;
    size_t callers;     /* different threads that called fetch() */
    size_t workers;     /* different threads that talked to the server */
    size_t threads;     /* different threads of both kinds */
    int first_error;    /* 0: none */
    char sentence[512]; /* of the first error */
};

/*
 * Fetch.  Shows how far it is on standard error if that is a terminal.
 * Returns 0 even if fetches failed, as REPORT says; -ENOMEM and the like if it could not begin.
 */
int crawl(const struct crawl_plan *plan, struct crawl_report *report);

#endif
