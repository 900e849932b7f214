/* SPDX-License-Identifier: MIT */
/*
 * What a row prints: lines of fields separated by tabs.  The first field tells them apart.
 *
 *   row     the row, as a line of bench.tsv; one more where there is an other side with a name
 *   side    the figures of one side, peers among them, as a line of sides.tsv
 *   record  quantiles of what one side recorded, 0 to 100 percent, as a line of records.tsv
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "bench.h"
#include "peers.h"

#define SIDES_MAX (BENCH_SIDES + PEERS_MAX)

/* What was measured of one side. */
struct side {
    const char *name;
    double figures[BENCH_REPETITIONS]; /* in the row's unit */
    int count;                         /* how many there are; 0: there is no such side */
    double *records;
    size_t record_count, record_room;
};

struct samples {
    struct side sides[SIDES_MAX];
    int side_count;        /* ours ... other, then the peers */
    int repeated;          /* repetitions thrown away */
    int disturbed;         /* kept although they were disturbed */
    double others_percent; /* of one core, during what was kept */
};

/* Print the lines of ROW.  Sorts the samples. */
void report(const struct bench_row *row, struct samples *samples);

#endif
