/* SPDX-License-Identifier: MIT */
/*
 * libcurl's transfers on a loop of anysync.  http.h is built on it; other protocols of curl can be.
 *
 *      struct curl_loop *loop;
 *      error = curl_loop_open(NULL, &loop);
 *
 * A curl loop belongs to one loop, and lives on its thread: that of the coroutine that opened it;
 * that of the executor's worker if an executor was named, or a plain thread opened it.  There all
 * of curl happens, between the tasks: in callbacks of libevent, which curl has told the sockets and
 * times it waits for.  From everywhere else curl_loop_run() has a function called there.
 */
#ifndef CLIENTS_CURL_LOOP_H
#define CLIENTS_CURL_LOOP_H

#include <anysync.h>

#include <curl/curl.h>
#include <stdbool.h>

struct curl_loop; /* opaque */

/* One transfer; part of a struct of yours.  On the loop's thread. */
struct curl_transfer {
    CURL *easy;    /* yours; set all its options but CURLOPT_PRIVATE */
    CURLcode code; /* how it ended */
    bool active;   /* between add and its end */
    bool closed;   /* it ended because the loop was ended; CODE says nothing */
    /* called once when it has ended by itself, or with the loop; it may not wait */
    void (*ended)(struct curl_transfer *transfer);
    struct curl_transfer *next, **at; /* the loop's */
};

/*
 * Open a curl loop.  It is a task of its loop until it is ended: a shutdown that drains waits for
 * that, one that cancels ends it.
 *
 * executor  borrowed: whose worker; NULL: the calling coroutine's loop, else the global one.
 * most      how many connections are kept for further use; 0: as curl thinks.
 * ret_loop  owned by the caller, who ends and frees it.
 *
 * Returns  0, -ENOMEM, -EMFILE, -ESHUTDOWN, -ECANCELED, -EAGAIN: nothing was opened.
 * Thread   any but callbacks of a loop.   Blocks  the thread, or suspends, a moment.
 */
int curl_loop_open(struct anysync_executor *executor, long most,
        struct curl_loop **ret_loop) ANYSYNC_MUST_CHECK;

/* End LOOP: transfers that are active end, `closed`, and nothing can be done with it any more but
 * to have calls refused.  NULL is fine.  Waits, and is no cancellation point.  Any thread but
 * callbacks. */
void curl_loop_end(struct curl_loop *loop);

/* Free LOOP (consumed), which was ended, when nobody uses it any more.  NULL is fine.  Any
 * thread. */
void curl_loop_free(struct curl_loop *loop);

/*
 * Call FUNCTION on LOOP's thread, and wait until it has returned.  On that thread it is a call.
 *
 * Returns  what FUNCTION returned, 0 or negative; or -ESHUTDOWN: the loop was ended, and nothing
 *          of it is active any more; -ENOMEM; -EDEADLK in callbacks of another loop.
 * Thread   any.  Not one that LOOP's thread waits for (a nested anysync_run() on it).
 * Cancel   no cancellation point.
 */
int curl_loop_run(struct curl_loop *loop, int (*function)(void *argument), void *argument);

/* Start TRANSFER (borrowed until its end or its removal).  Returns 0 or -ENOMEM.  Its thread. */
int curl_loop_add(struct curl_loop *loop, struct curl_transfer *transfer);

/* End TRANSFER now, if it is active: its connection is closed, and nothing of it is called any
 * more.  Its thread, outside callbacks of curl. */
void curl_loop_remove(struct curl_loop *loop, struct curl_transfer *transfer);

#endif
