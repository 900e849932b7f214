/* SPDX-License-Identifier: MIT */
/*
 * What all peers in C and C++ share.  A peer is a program that measures another library:
 *
 *      printf '1000\n1000\n' | build/peers/libuv W1-hot
 *
 * It prints "ready" when it has set up workload W1-hot, then for each COUNT it reads a line with
 * the ns (or bytes) of one operation; when it has no notion of the workload it prints nothing and
 * ends.  A number at the end of the workload is an argument (W2-64: callers, W3-4: producers,
 * W7-64: in flight, W9-64: ahead, W6-time-1000: sleepers).  For W1-latency the ns of each call
 * follow on the same line, for W6-time the bytes of a sleeper.  For W10 it prints "ready PORT", and
 * serves until it is killed.
 *
 * A file that includes this defines those of the functions below whose workloads it has.
 */
#ifndef BENCH_PEERS_PEER_H
#define BENCH_PEERS_PEER_H

#include <stdint.h>

/* --- defined by the peer, as far as its library can ------------------------------------------- */

#pragma weak peer_start
#pragma weak peer_call
#pragma weak peer_submit
#pragma weak peer_spawn
#pragma weak peer_yield
#pragma weak peer_sleep
#pragma weak peer_offload
#pragma weak peer_nested
#pragma weak peer_iterate
#pragma weak peer_in_loop
#pragma weak peer_echo
#pragma weak peer_messages
#pragma weak peer_cancel

#ifdef __cplusplus
extern "C" {
#endif

void peer_start(void);                       /* the thread with the loop: before W1, W2, W3, W9 */
void peer_call(void);                        /* W1, W2: block until the loop has run a no-op */
void peer_submit(void);                      /* W3: have the loop run peer_task_ran() */
int64_t peer_spawn(int64_t count, int);      /* W4: ns of COUNT children spawned and awaited */
int64_t peer_yield(int64_t count, int);      /* W5: ns of COUNT yields of two coroutines */
void peer_sleep(void);                       /* W6: peer_sleepers of them, and wait for all */
int64_t peer_offload(int64_t, int flight);   /* W7: ns, with so many in flight */
void *peer_nested(void *);                   /* W8: of a fresh thread: a loop, a no-op, no loop */
int64_t peer_iterate(int64_t, int ahead);    /* W9: ns of COUNT items, taken by a plain thread; */
                                             /* AHEAD is 1 (lock step), or 64 */
int64_t peer_in_loop(int64_t count, int);    /* ... taken by a coroutine */
int64_t peer_echo(int64_t port, int unused); /* W10: peer_listen(), peer_ready(), serve */
int64_t peer_messages(int64_t count, int);   /* W11: ns of COUNT messages, to and fro */
int64_t peer_cancel(int64_t count, int); /* W14: ns of COUNT sleepers cancelled and collected, */
                                         /* PEER_BATCH at a time */

#ifdef __cplusplus
}
#endif

#include "peer_tools.h"

#include "peer_works.h"

#include "peer_main.h"

#endif
