/* SPDX-License-Identifier: MIT */
/*
 * An HTTP client that is written once, as a coroutine, and called from either world: fetch() blocks
 * a plain thread and suspends a coroutine.  libevent's evhttp does the work on the worker's loop.
 */
#ifndef DEMO_CLIENT_H
#define DEMO_CLIENT_H

#include <anysync.h>

#include <stddef.h>

/* A document.  Whoever fetched it owns it: page_free() it. */
struct page {
    char *data; /* size bytes and a zero behind them */
    size_t size;
    int status;      /* of HTTP: 200 to 299 */
    unsigned thread; /* anysync_thread_serial() of the thread that talked to the server */
};

/*
 * int fetch(struct page *page, const char *url): get one document by HTTP.
 *
 * url  borrowed until the fetch has ended; http:// only.
 *
 * Returns       0  *page is the document.
 *         -EINVAL  the URL is none, or not one of http://
 *   -ECONNREFUSED  nobody listens there; other codes of connect() likewise
 *   -EHOSTUNREACH  no address is known for the host, or no way leads to it
 *      -ETIMEDOUT  no complete answer within the time of fetch_set_timeout()
 *         -ENOENT  the server answered 404 or 410
 *         -EACCES  the server answered 401 or 403
 *      -EREMOTEIO  the server answered with another status that is not a success
 *     -ECONNRESET  the connection ended in the middle of the answer
 *         -EPROTO  what the server said is not HTTP
 *          -EFBIG  the document is larger than 64 MiB, or its chunks make no sense
 *      -ECANCELED  the task that fetches was cancelled
 * and the sentence in anysync_last_error() names the URL.
 */
ANYSYNC_COROUTINE_DECLARE(struct page, fetch, (const char *, url));

/* How long each fetch may take, in milliseconds.  Before the first fetch; 10 seconds otherwise. */
void fetch_set_timeout(int timeout_ms);

/* Free what a page holds.  A page of zeroes is fine. */
void page_free(struct page *page);

#endif
