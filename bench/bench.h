/* SPDX-License-Identifier: MIT */
/*
 * The harness of the benchmarks.
 *
 * A row is one workload.  It has up to four sides that do the same work: ours, the one a good C
 * programmer would write by hand, the floor (the least work that still does the job), and one
 * other; and each peer that is built (peers.h) and has a notion of the work.  The harness warms
 * each side up, then lets them take turns (A B C A B C ...) BENCH_REPETITIONS times, so that
 * whatever disturbs the machine hits all of them, and reports medians.
 *
 * A repetition during which other processes took processor time is repeated a moment later, a
 * bounded number of times.
 *
 * Each bench_<topic>.c is a program that defines its rows; main() is in bench.c:
 *
 *      bench_topic            prints the keys of its rows
 *      bench_topic KEY        measures one row, and prints it as tab-separated lines (report.h)
 *
 * Each row runs in a process of its own (run.sh sees to that), so that no state leaks between rows.
 * BENCH_ONLY=ours,by_hand,floor,other,tokio in the environment measures some of the sides only.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_REPETITIONS 9
#define BENCH_RETRIES 8         /* disturbed repetitions repeated, at most, in one row */
#define BENCH_FILL_NS 100000000 /* how long one repetition of one side should take */

enum bench_side { BENCH_OURS, BENCH_BY_HAND, BENCH_FLOOR, BENCH_OTHER, BENCH_SIDES };

/* A limit may also ask for the median of the best peer. */
#define BENCH_BEST_PEER BENCH_SIDES
#define BENCH_MEDIANS (BENCH_SIDES + 1)

/* What the figures of a row are made of; the last two are per second, and more is better. */
enum bench_unit { BENCH_NS, BENCH_BYTES, BENCH_MS, BENCH_THOUSANDS, BENCH_MILLIONS };

/* Do the work COUNT times.  Returns the nanoseconds of the part that counts. */
typedef int64_t bench_run_fn(int64_t count);

/* Likewise, as a client of a server that listens on PORT of the loopback. */
typedef int64_t bench_client_fn(int port, int64_t count);

/* The worst figure that still meets the target, given the medians of all sides (NAN: none). */
typedef double bench_limit_fn(const double medians[BENCH_MEDIANS]);

struct bench_row {
    const char *key;  /* "W1-hot": one word, starts with the workload's id */
    const char *work; /* "W1 run, hot" */
    enum bench_unit unit;
    bench_run_fn *run[BENCH_SIDES]; /* NULL: no such side */
    const char *other;              /* name of BENCH_OTHER; NULL: it is there for the limit only */
    int64_t count;                  /* operations of one repetition; 0: as many as fill it */
    int cores;                      /* it makes sense with that many only; 0: any */
    void (*setup)(void);            /* before anything else; may be NULL */
    bool fresh;                     /* each repetition in a process of its own, without warm-up */
    const char *peer;               /* what peers are asked for; NULL: the key */
    bench_client_fn *client;        /* peers only serve, on the second processor; NULL: no server */
    const char *records;            /* what bench_record() gets, "bytes"; NULL: it is not called */
    int memory_gb;                  /* it needs that much free */
    int repetitions;                /* 0: BENCH_REPETITIONS, which is the most */
    const char *target;             /* in words; NULL: none */
    double bound;                   /* the worst figure that still meets it; 0: none */
    bench_limit_fn *limit;          /* likewise; the stricter of the two counts; NULL: none */
};

/* Defined by each program. */
extern const struct bench_row bench_rows[];
extern const size_t bench_row_count;

int64_t bench_now_ns(void);
void bench_sleep_ns(int64_t delay_ns);

/* Main thread: keep FIGURE besides what the run function returns; the distribution is reported. */
void bench_record(double figure);

/* Whether SIDE of ROW is there and wanted. */
bool bench_wanted(const struct bench_row *row, enum bench_side side);

/* Stop the program with a sentence if ERROR, a code or a condition, is not 0. */
void bench_check(int error, const char *what);

/* Memory that can be had without swapping; 0 if the machine does not say. */
int bench_free_gb(void);

/* How many processors this process may use, at its start. */
int bench_cores(void);

/* Pin the calling thread to the INDEX-th processor this process may use. */
void bench_pin(int index);

/* Let the calling thread run on all of them again. */
void bench_unpin(void);

/* Run WORK on COUNT threads that begin together.  Returns ns until the last has ended. */
int64_t bench_crew(int count, void (*work)(int index));

/* RUN(COUNT) in a child process; what it returned.  What it recorded is recorded here. */
int64_t bench_run_fresh(bench_run_fn *run, int64_t count);

/* Processor time in ns that other processes took since an unspecified moment: take differences. */
int64_t bench_others_ns(void);

#endif
