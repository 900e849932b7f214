/* SPDX-License-Identifier: MIT */
/*
 * The peers: programs in the directory that BENCH_PEERS in the environment names, one for each
 * other library (bench/peers/).  A peer runs as long as its row, waiting for the count of its next
 * repetition while others take their turn; only fresh rows start it anew each time.
 */
#ifndef BENCH_PEERS_H
#define BENCH_PEERS_H

#include "bench.h"

#define PEERS_MAX 24

/* Start all peers that are there and wanted, for ROW.  Returns how many have its work. */
int peers_start(const struct bench_row *row);

const char *peers_name(int index);

/*
 * COUNT operations of peer INDEX.  Returns the ns of the part that counts, or -1 if the peer failed
 * or took too long: it has been ended with a sentence on standard error, and fails from now on.
 */
int64_t peers_run(int index, const struct bench_row *row, int64_t count);

/* Processor time that the peers used which run now. */
int64_t peers_busy_ns(void);

void peers_stop(void);

#endif
