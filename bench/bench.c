/* SPDX-License-Identifier: MIT */
/*
 * The harness (what it promises: bench.h; this: how; what it prints: report.h).
 *
 * ONE ROW       start the peers; warm each side up and find how many operations fill a repetition;
 *               let the sides take turns; report.
 * A PEER        is warmed up longer, for it may compile itself while it runs, and does less than
 *               the row's count where that would take too long.
 * DISTURBED     others used more than DISTURBED_NS and more than a part of the repetition: measured
 *               from all the machine's processor time less our own, see machine.c.
 */
#include "bench.h"
#include "peers.h"
#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SETTLE_NS 2000000       /* between repetitions: lets the threads of one side go to sleep */
#define DISTURBED_NS 30000000   /* /proc/stat counts in steps of 10 ms: less than this is noise, */
#define DISTURBED_FRACTION 8    /* and so is less than this part of the repetition */
#define CALM_NS 250000000       /* before a disturbed repetition is repeated */
#define MOST ((int64_t)1 << 40) /* operations in one repetition */
#define RECORDS_MOST 1000000    /* of one side; what comes later is not kept */
#define WARM_UP_NS (4LL * BENCH_FILL_NS) /* of a peer */

static const char *const side_names[BENCH_SIDES] = {"ours", "by_hand", "floor", "other"};

static struct side *recording; /* the side whose repetition counts now; NULL: none */

bool bench_wanted(const struct bench_row *row, enum bench_side side)
{
    const char *only = getenv("BENCH_ONLY");

    return row->run[side] != NULL && (only == NULL || strstr(only, side_names[side]) != NULL);
}

void bench_record(double figure)
{
    struct side *side = recording;

    if (side == NULL || side->record_count == RECORDS_MOST)
        return;
    if (side->record_count == side->record_room) {
        side->record_room = side->record_room ? side->record_room * 2 : 1024;
        side->records = realloc(side->records, side->record_room * sizeof(*side->records));
        bench_check(side->records == NULL, "memory for records");
    }
    side->records[side->record_count++] = figure;
}

int64_t bench_run_fresh(bench_run_fn *run, int64_t count)
{
    struct side fresh = {.name = "fresh"};
    int64_t said[2] = {0, 0}; /* what RUN returned, how many records follow */
    int ends[2];
    double record;
    pid_t child;

    bench_check(pipe(ends) != 0, "pipe");
    fflush(stdout);
    child = fork();
    bench_check(child < 0, "fork");
    if (child == 0) {
        recording = &fresh;
        said[0] = run(count);
        said[1] = (int64_t)fresh.record_count;
        bench_check(write(ends[1], said, sizeof(said)) != sizeof(said), "write to a pipe");
        for (size_t i = 0; i < fresh.record_count; i++)
            bench_check(write(ends[1], &fresh.records[i], sizeof(record)) != sizeof(record),
                    "write to a pipe");
        _exit(0);
    }
    close(ends[1]);
    bench_check(read(ends[0], said, sizeof(said)) != sizeof(said), "a repetition's child");
    for (int64_t i = 0; i < said[1] && read(ends[0], &record, sizeof(record)) == sizeof(record);
            i++)
        bench_record(record);
    close(ends[0]);
    waitpid(child, NULL, 0);
    return said[0];
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

/* Have SIDE do its work COUNT times.  Returns ns, or -1: it is a peer that failed. */
static int64_t run(const struct bench_row *row, int side, int64_t count)
{
    if (side >= BENCH_SIDES)
        return peers_run(side - BENCH_SIDES, row, count);
    return row->fresh ? bench_run_fresh(row->run[side], count) : row->run[side](count);
}

/* Warm a peer up.  Returns how many operations fill a repetition, at most the row's count. */
static int64_t calibrate_peer(const struct bench_row *row, int side)
{
    int64_t most = row->count ? row->count : MOST;
    int64_t count = most < 64 ? most : 64;
    int64_t begun = bench_now_ns();
    int64_t elapsed = 0;

    if (row->fresh)
        return most;
    while (elapsed >= 0 && bench_now_ns() - begun < WARM_UP_NS) {
        elapsed = run(row, side, count);
        if (elapsed < BENCH_FILL_NS / 4 && count < most / 2)
            count *= 2;
        else if (elapsed < BENCH_FILL_NS / 4)
            count = most;
        else
            count = (int64_t)((double)count * BENCH_FILL_NS / (double)elapsed) + 1;
        if (count > most)
            count = most;
    }
    return elapsed < 0 ? 0 : count;
}

/* Warm SIDE up, and find how many operations fill a repetition. */
static int64_t calibrate(const struct bench_row *row, int side)
{
    int64_t count = 64;
    int64_t elapsed;

    if (side >= BENCH_SIDES)
        return calibrate_peer(row, side);
    if (row->count && !row->fresh)
        run(row, side, row->count);
    if (row->count)
        return row->count;
    for (elapsed = run(row, side, count); elapsed < BENCH_FILL_NS / 4 && count < MOST;
            elapsed = run(row, side, count))
        count *= 2;
    return (int64_t)((double)count * BENCH_FILL_NS / (double)(elapsed ? elapsed : 1)) + 1;
}

/* One repetition of one side, and what others did meanwhile. */
struct turn {
    int64_t elapsed_ns;
    int64_t wall_ns;
    int64_t others_ns;
};

static int64_t others_now_ns(void)
{
    return bench_others_ns() - peers_busy_ns();
}

/* Returns whether it was disturbed. */
static bool take_turn(const struct bench_row *row, int side, int64_t count, struct turn *ret_turn)
{
    int64_t others, start;

    bench_sleep_ns(SETTLE_NS);
    others = others_now_ns();
    start = bench_now_ns();
    ret_turn->elapsed_ns = run(row, side, count);
    ret_turn->wall_ns = bench_now_ns() - start;
    ret_turn->others_ns = others_now_ns() - others;
    if (ret_turn->others_ns < 0)
        ret_turn->others_ns = 0; /* its steps are coarser than our own clock */
    return ret_turn->others_ns > DISTURBED_NS &&
           ret_turn->others_ns > ret_turn->wall_ns / DISTURBED_FRACTION;
}

static void find_sides(const struct bench_row *row, struct samples *samples, int64_t *ret_counts)
{
    int peers = peers_start(row);

    samples->side_count = BENCH_SIDES + peers;
    for (int i = 0; i < samples->side_count; i++) {
        bool peer = i >= BENCH_SIDES;

        samples->sides[i].name = peer ? peers_name(i - BENCH_SIDES) : side_names[i];
        if (peer || bench_wanted(row, (enum bench_side)i))
            ret_counts[i] = calibrate(row, i);
    }
}

static void take_turns(const struct bench_row *row, struct samples *samples)
{
    int64_t counts[SIDES_MAX] = {0};
    int repetitions = row->repetitions ? row->repetitions : BENCH_REPETITIONS;
    int64_t others_ns = 0, all_ns = 1;
    struct turn turn;

    find_sides(row, samples, counts);
    for (int i = 0; i < repetitions * samples->side_count; i++) {
        struct side *side = &samples->sides[i % samples->side_count];
        int64_t count = counts[i % samples->side_count];
        size_t records = side->record_count;
        bool disturbed;

        if (count == 0)
            continue;
        recording = side;
        disturbed = take_turn(row, i % samples->side_count, count, &turn);
        recording = NULL;
        if (turn.elapsed_ns == -1) {
            counts[i % samples->side_count] = 0;
            side->count = 0; /* half of its repetitions are no figure */
            continue;
        }
        if (disturbed && samples->repeated < BENCH_RETRIES) {
            samples->repeated++;
            side->record_count = records;
            bench_sleep_ns(CALM_NS);
            i--;
            continue;
        }
        samples->disturbed += disturbed;
        others_ns += turn.others_ns;
        all_ns += turn.wall_ns;
        side->figures[side->count++] = to_figure(row->unit, turn.elapsed_ns, count);
    }
    peers_stop();
    samples->others_percent = 100.0 * (double)others_ns / (double)all_ns;
}

static int measure(const struct bench_row *row)
{
    static struct samples samples;

    if (bench_cores() < row->cores) {
        fprintf(stderr, "%s: left out, it needs %d processors\n", row->key, row->cores);
        return 0;
    }
    if (row->memory_gb && bench_free_gb() < row->memory_gb) {
        fprintf(stderr, "%s: left out, it needs %d GB\n", row->key, row->memory_gb);
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
