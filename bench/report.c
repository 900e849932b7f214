/* SPDX-License-Identifier: MIT */
/*
 * What a row prints: see report.h.
 *
 * THE MEDIAN  of repetitions, each of which is a mean over its operations: a rare slow operation
 *             counts, a rare slow repetition does not.
 * THE BEST    of the peers: the one with the best median.  What is written by hand, the floor and
 *             the other side are no peers; they have columns of their own.
 */
#include "report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const unit_names[] = {"ns", "bytes", "ms", "k/s", "M/s"};

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

/* The value below which FRACTION of the sorted FIGURES lie; between two of them if need be. */
static double quantile(const double *figures, size_t count, double fraction)
{
    double place = fraction * (double)(count - 1);
    size_t below = (size_t)place;

    if (count == 0)
        return NAN;
    if (below + 1 >= count)
        return figures[count - 1];
    return figures[below] + (place - (double)below) * (figures[below + 1] - figures[below]);
}

static double side_quantile(const struct side *side, double fraction)
{
    return quantile(side->figures, (size_t)side->count, fraction);
}

static void print_figure(double figure)
{
    if (isnan(figure))
        printf("\t-");
    else
        printf("\t%.4g", figure);
}

static bool more_is_better(const struct bench_row *row)
{
    return row->unit >= BENCH_THOUSANDS;
}

/* The index of the best peer's side; 0 if there is none. */
static int best_peer(const struct bench_row *row, const struct samples *samples)
{
    int best = 0;

    for (int i = BENCH_SIDES; i < samples->side_count; i++) {
        double median = side_quantile(&samples->sides[i], 0.5);
        double least = best ? side_quantile(&samples->sides[best], 0.5) : median;

        if (samples->sides[i].count == 0)
            continue;
        if (best == 0 || (more_is_better(row) ? median > least : median < least))
            best = i;
    }
    return best;
}

/* The worst figure that meets the target. */
static double worst(const struct bench_row *row, const double medians[BENCH_MEDIANS])
{
    double bound = row->bound > 0 ? row->bound : NAN;
    double limit = row->limit ? row->limit(medians) : NAN;

    return more_is_better(row) ? fmax(bound, limit) : fmin(bound, limit);
}

/* row key work unit ours peer floor ours/peer ours/floor min max target limit met ... */
static void print_line(const struct bench_row *row, const struct samples *samples,
        const double medians[BENCH_MEDIANS], enum bench_side peer)
{
    double ours = medians[BENCH_OURS];
    double limit = peer == BENCH_BY_HAND ? worst(row, medians) : NAN;
    bool met = more_is_better(row) ? ours >= limit : ours <= limit;
    int best = peer == BENCH_OTHER ? 0 : best_peer(row, samples);
    const struct side *own = &samples->sides[BENCH_OURS];

    printf("row\t%s\t%s\t%s", row->key, peer == BENCH_OTHER ? row->other : row->work,
            unit_names[row->unit]);
    print_figure(ours);
    print_figure(medians[peer]);
    print_figure(peer == BENCH_OTHER ? NAN : medians[BENCH_FLOOR]);
    print_figure(ours / medians[peer]);
    print_figure(peer == BENCH_OTHER ? NAN : ours / medians[BENCH_FLOOR]);
    print_figure(side_quantile(own, 0));
    print_figure(side_quantile(own, 1));
    printf("\t%s", row->target && peer == BENCH_BY_HAND ? row->target : "-");
    print_figure(limit);
    printf("\t%s", isnan(limit) || isnan(ours) ? "-" : met ? "yes" : "NO");
    printf("\t%.0f\t%d\t%d", samples->others_percent, samples->repeated, samples->disturbed);
    printf("\t%s", best ? samples->sides[best].name : "-");
    print_figure(best ? medians[BENCH_BEST_PEER] : NAN);
    print_figure(best ? ours / medians[BENCH_BEST_PEER] : NAN);
    printf("\n");
}

static void print_side(const struct bench_row *row, const struct side *side)
{
    printf("side\t%s\t%s\t%s", row->key, side->name, unit_names[row->unit]);
    print_figure(side_quantile(side, 0.5));
    print_figure(side_quantile(side, 0));
    print_figure(side_quantile(side, 1));
    print_figure(side_quantile(side, 0.25));
    print_figure(side_quantile(side, 0.75));
    printf("\t%d\n", side->count);
}

static void print_records(const struct bench_row *row, const struct side *side)
{
    printf("record\t%s\t%s\t%s", row->key, side->name, row->records);
    for (int percent = 0; percent <= 100; percent++)
        print_figure(quantile(side->records, side->record_count, percent / 100.0));
    printf("\n");
}

void report(const struct bench_row *row, struct samples *samples)
{
    double medians[BENCH_MEDIANS];
    int best;

    for (int i = 0; i < samples->side_count; i++) {
        struct side *side = &samples->sides[i];

        qsort(side->figures, (size_t)side->count, sizeof(*side->figures), compare);
        if (side->record_count)
            qsort(side->records, side->record_count, sizeof(*side->records), compare);
        if (i < BENCH_SIDES)
            medians[i] = side_quantile(side, 0.5);
        if (side->count)
            print_side(row, side);
        if (side->record_count)
            print_records(row, side);
    }
    best = best_peer(row, samples);
    medians[BENCH_BEST_PEER] = best ? side_quantile(&samples->sides[best], 0.5) : NAN;
    print_line(row, samples, medians, BENCH_BY_HAND);
    if (row->other)
        print_line(row, samples, medians, BENCH_OTHER);
}
