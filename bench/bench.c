/* SPDX-License-Identifier: MIT */
/*
 * The harness (what it promises: bench.h; this: how).
 *
 * ONE ROW       warm each side up and find how many operations fill a repetition; let the sides
 *               take turns; sort; print a line for each peer.
 * DISTURBED     others used more than DISTURBED_NS and more than a part of the repetition: measured
 *               from all the machine's processor time less our own, see machine.c.
 * THE MEDIAN    of repetitions, each of which is a mean over its operations: a rare slow operation
 *               counts, a rare slow repetition does not.
 */
#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SETTLE_NS 2000000       /* between repetitions: lets the threads of one side go to sleep */
#define DISTURBED_NS 30000000   /* /proc/stat counts in steps of 10 ms: less than this is noise, */
#define DISTURBED_FRACTION 8    /* and so is less than this part of the repetition */
#define CALM_NS 250000000       /* before a disturbed repetition is repeated */
#define MOST ((int64_t)1 << 40) /* operations in one repetition */

static const char *const side_names[BENCH_SIDES] = {"ours", "by_hand", "floor", "other"};
static const char *const unit_names[] = {"ns", "bytes", "ms", "k/s", "M/s"};

struct samples {
    double figure[BENCH_SIDES][BENCH_REPETITIONS]; /* in the row's unit */
    int count[BENCH_SIDES];                        /* how many there are */
    int repeated;                                  /* repetitions thrown away */
    int disturbed;                                 /* kept although they were disturbed */
    double others_percent;                         /* of one core, during what was kept */
};

bool bench_wanted(const struct bench_row *row, enum bench_side side)
{
    const char *only = getenv("BENCH_ONLY");

    return row->run[side] != NULL && (only == NULL || strstr(only, side_names[side]) != NULL);
}

static double to_figure(enum bench_unit unit, int64_t elapsed_ns, int64_t count)
{
    double each_ns = (double)elapsed_ns / (double)count;

    switch (unit) {
    case BENCH_THOUSANDS:
        return 1e6 / each_ns;
    case BENCH_MILLIONS:
        return 1e3 / each_ns;
    case BENCH_MS:
        return each_ns / 1e6;
    case BENCH_NS:
    case BENCH_BYTES:
        break;
    }
    return each_ns;
}

/* Warm SIDE up, and find how many operations fill a repetition. */
static int64_t calibrate(const struct bench_row *row, int side)
{
    bench_run_fn *run = row->run[side];
    int64_t count = 64;
    int64_t elapsed;

    if (row->count && !row->fresh)
        run(row->count);
    if (row->count)
        return row->count;
    for (elapsed = run(count); elapsed < BENCH_FILL_NS / 4 && count < MOST; elapsed = run(count))
        count *= 2;
    return (int64_t)((double)count * BENCH_FILL_NS / (double)(elapsed ? elapsed : 1)) + 1;
}

/* One repetition of one side, and what others did meanwhile. */
struct turn {
    int64_t elapsed_ns;
    int64_t wall_ns;
    int64_t others_ns;
};

static bool take_turn(const struct bench_row *row, int side, int64_t count, struct turn *ret_turn)
{
    int64_t others, start;

    bench_sleep_ns(SETTLE_NS);
    others = bench_others_ns();
    start = bench_now_ns();
    ret_turn->elapsed_ns =
            row->fresh ? bench_run_fresh(row->run[side], count) : row->run[side](count);
    ret_turn->wall_ns = bench_now_ns() - start;
    ret_turn->others_ns = bench_others_ns() - others;
    if (ret_turn->others_ns < 0)
        ret_turn->others_ns = 0; /* its steps are coarser than our own clock */
    return ret_turn->others_ns > DISTURBED_NS &&
           ret_turn->others_ns > ret_turn->wall_ns / DISTURBED_FRACTION;
}

static void take_turns(const struct bench_row *row, struct samples *samples)
{
    int64_t counts[BENCH_SIDES] = {0};
    int repetitions = row->repetitions ? row->repetitions : BENCH_REPETITIONS;
    int64_t others_ns = 0, all_ns = 1;
    struct turn turn;

    for (int side = 0; side < BENCH_SIDES; side++)
        if (bench_wanted(row, (enum bench_side)side))
            counts[side] = calibrate(row, side);
    for (int i = 0; i < repetitions * BENCH_SIDES; i++) {
        int side = i % BENCH_SIDES;
        bool disturbed;

        if (counts[side] == 0)
            continue;
        disturbed = take_turn(row, side, counts[side], &turn);
        if (disturbed && samples->repeated < BENCH_RETRIES) {
            samples->repeated++;
            bench_sleep_ns(CALM_NS);
            i--;
            continue;
        }
        samples->disturbed += disturbed;
        others_ns += turn.others_ns;
        all_ns += turn.wall_ns;
        samples->figure[side][samples->count[side]++] =
                to_figure(row->unit, turn.elapsed_ns, counts[side]);
    }
    samples->others_percent = 100.0 * (double)others_ns / (double)all_ns;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

static void print_figure(double figure)
{
    if (isnan(figure))
        printf("\t-");
    else
        printf("\t%.4g", figure);
}

/* One line: key work unit ours peer floor ours/peer ours/floor min max target limit met ... */
static void print_line(const struct bench_row *row, const struct samples *samples,
        const double medians[BENCH_SIDES], enum bench_side peer)
{
    double ours = medians[BENCH_OURS];
    double limit = row->limit && peer == BENCH_BY_HAND ? row->limit(medians) : NAN;
    bool more_is_better = row->unit >= BENCH_THOUSANDS;
    bool met = more_is_better ? ours >= limit : ours <= limit;
    int last = samples->count[BENCH_OURS] - 1;

    printf("%s\t%s\t%s", row->key, peer == BENCH_OTHER ? row->other : row->work,
            unit_names[row->unit]);
    print_figure(ours);
    print_figure(medians[peer]);
    print_figure(peer == BENCH_OTHER ? NAN : medians[BENCH_FLOOR]);
    print_figure(ours / medians[peer]);
    print_figure(peer == BENCH_OTHER ? NAN : ours / medians[BENCH_FLOOR]);
    print_figure(last < 0 ? NAN : samples->figure[BENCH_OURS][0]);
    print_figure(last < 0 ? NAN : samples->figure[BENCH_OURS][last]);
    printf("\t%s", row->target && peer == BENCH_BY_HAND ? row->target : "-");
    print_figure(limit);
    printf("\t%s", isnan(limit) || isnan(ours) ? "-" : met ? "yes" : "NO");
    printf("\t%.0f\t%d\t%d\n", samples->others_percent, samples->repeated, samples->disturbed);
}

static void report(const struct bench_row *row, struct samples *samples)
{
    double medians[BENCH_SIDES];

    for (int side = 0; side < BENCH_SIDES; side++) {
        size_t count = (size_t)samples->count[side];
        double *figures = samples->figure[side];

        qsort(figures, count, sizeof(*figures), compare);
        medians[side] = count ? (figures[(count - 1) / 2] + figures[count / 2]) / 2 : NAN;
    }
    print_line(row, samples, medians, BENCH_BY_HAND);
    if (row->other)
        print_line(row, samples, medians, BENCH_OTHER);
}

static int measure(const struct bench_row *row)
{
    struct samples samples = {0};

    if (bench_cores() < row->cores) {
        fprintf(stderr, "%s: left out, it needs %d processors\n", row->key, row->cores);
        return 0;
    }
    if (row->setup)
        row->setup();
    take_turns(row, &samples);
    report(row, &samples);
    return 0;
}

int main(int argc, char **argv)
{
    for (size_t i = 0; i < bench_row_count; i++) {
        if (argc < 2)
            printf("%s\n", bench_rows[i].key);
        else if (strcmp(argv[1], bench_rows[i].key) == 0)
            return measure(&bench_rows[i]);
    }
    if (argc >= 2)
        fprintf(stderr, "%s: no row of that name: %s\n", argv[0], argv[1]);
    return argc >= 2;
}
