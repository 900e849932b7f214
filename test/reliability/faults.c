/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/*
 * R5: the system refuses, at each point of each use of the library in each world.
 *
 * A run is a use (uses.h) with a plan of refusals (doors.h) in a process of its own: the k-th
 * request is refused, or it and all that follow, or two of them.  Afterwards nothing is refused any
 * more, and the same use has to work; then all ends in order.  A run fails by a crash, a hang, a
 * failed check of the use, a code that the system gave no reason for, a body that was lost, a
 * descriptor left open, or a leak.
 *
 * From the environment: FAULT_POINTS, how many points are to be reached at least (0: all there
 * are); FAULT_PAIRS, how many pairs besides; FAULT_USE, one use alone; FAULT_ONE="use world choice
 * sticky first second", one point alone, with FAULT_HERE=1 in the same process, for a debugger.
 * Prints "N points ..., M failed".
 */
#include "runs.h"

struct point {
    const struct use *use;
    enum world world;
    struct plan plan;
};

static atomic_int hooked;

static void hear(const char *task, const struct anysync_error *error, void *context)
{
    (void)task;
    (void)context;
    CHECK_NE(error->code, 0);
    atomic_fetch_add(&hooked, 1);
}

/* libevent had made half a base when it gave up, or a thread's caches could not be remembered:
 * what they held stays behind. */
static bool may_leak(void)
{
    return told->by_door[DOOR_PIPE] || told->by_door[DOOR_KEY] || told->by_door[DOOR_SPECIFIC];
}

static void run_point(void *argument)
{
    const struct point *point = argument;

    doors_install();
    anysync_set_error_hook(hear, NULL);
    door_tell = told->by_door;
    door_plan(point->plan);
    told->code = use_in(point->use, point->world);
    doors_open();
    told->count = DOOR_GET(count);
    told->struck = DOOR_GET(struck);
    CHECK(told->code == 0 || may_say(told->code));
    door_plan((struct plan){.only = -1}); /* nothing is refused: nothing may fail */
    CHECK_EQ(use_in(point->use, point->world), 0);
    surely_shut_down(NULL, ANYSYNC_DRAIN);
    CHECK_EQ(count_of(&bodies_begun), count_of(&bodies_ended));
    told->fds = open_descriptors();
    told->reached = true;
    if (may_leak())
        _exit(EXIT_SUCCESS);
}

/* --- the points ------------------------------------------------------------------------------- */

struct score {
    long points; /* runs in which something was refused */
    long errors; /* of these the use said an error */
    long missed; /* runs in which nothing was */
    long slow;
    long failed;
    int by_door[DOORS];
};

static struct score score;
static int usual_fds[USES][WORLDS]; /* at the end of a run without refusals */

static int world_index(enum world world)
{
    for (int i = 0; i < WORLDS; i++) {
        if (worlds[i] == world)
            return i;
    }
    return 0;
}

static void tell(const struct point *point, struct run *run, const char *what)
{
    printf("FAILED: %s in %s, FAULT_ONE=\"%d %d %d %d %d %d\": %s; refused:", point->use->name,
            world_name(point->world), (int)(point->use - uses), world_index(point->world),
            point->plan.choice, point->plan.sticky, point->plan.first, point->plan.second, what);
    for (int i = 0; i < DOORS; i++) {
        if (run->told.by_door[i])
            printf(" %s x %d", doors[i].name, run->told.by_door[i]);
    }
    printf("; %d descriptors, usual %d; %s\n", run->told.fds,
            usual_fds[point->use - uses][world_index(point->world)], run->why);
    fflush(stdout);
}

static void judge(const struct point *point, struct run *run)
{
    int usual = usual_fds[point->use - uses][world_index(point->world)];
    bool spills = run->told.by_door[DOOR_PIPE] > 0;

    if (run->told.struck == 0)
        score.missed++;
    else
        score.points++;
    score.errors += run->told.code != 0;
    for (int i = 0; i < DOORS; i++)
        score.by_door[i] += run->told.by_door[i] > 0;
    if (run->well && (run->told.fds <= usual || spills))
        return;
    score.failed++;
    tell(point, run, run->hung ? "hangs" : run->well ? "descriptors are left" : "fails");
}

static void try_point(const struct point *point)
{
    struct run run = run_once(run_point, (void *)(intptr_t)point, HANG_MS);

    if (run.hung) {
        run = run_once(run_point, (void *)(intptr_t)point, PATIENT_MS);
        score.slow += !run.hung;
    }
    judge(point, &run);
}

/* How many requests USE makes in WORLD. */
static int measure(const struct use *use, enum world world)
{
    struct point point = {.use = use, .world = world, .plan = {.only = -1}};
    struct run run = run_use(run_point, &point);

    if (!run.well) {
        score.failed++;
        tell(&point, &run, "fails without a refusal");
    }
    usual_fds[use - uses][world_index(world)] = run.told.fds;
    return run.told.count;
}

static long setting(const char *name, long otherwise)
{
    const char *text = getenv(name);

    return text ? strtol(text, NULL, 10) : otherwise;
}

enum { WAYS = 4 }; /* once and from then on, with either error */

/* Every STRIDE-th of all points, the first of them the one of number OFFSET; not the first time,
 * only until ENOUGH were reached. */
static void walk(int counts[USES][WORLDS], long stride, long offset, long enough)
{
    long number = 0;

    for (int use = 0; use < USES; use++) {
        for (int world = 0; world < WORLDS; world++) {
            for (int i = 0; i < counts[use][world] * WAYS; i++) {
                struct plan plan = {
                        .only = -1, .first = i / WAYS + 1, .sticky = i & 1, .choice = i >> 1 & 1};
                struct point point = {&uses[use], worlds[world], plan};
                if (number++ % stride != offset)
                    continue;
                if (offset > 0 && score.points >= enough)
                    return;
                try_point(&point);
            }
        }
    }
}

static uint64_t seed = 0x9e3779b97f4a7c15;

static int below(int limit)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (int)(seed % (uint64_t)limit);
}

static void walk_pairs(int counts[USES][WORLDS], long pairs)
{
    while (pairs > 0) {
        int use = below(USES), world = below(WORLDS);
        int count = counts[use][world];
        if (count < 2)
            continue;
        int first = 1 + below(count - 1);
        struct plan plan = {.only = -1,
                .first = first,
                .second = first + 1 + below(count - first),
                .choice = below(2)};
        try_point(&(struct point){&uses[use], worlds[world], plan});
        pairs--;
    }
}

static void try_one(const char *text)
{
    struct plan plan = {.only = -1};
    int use, world, sticky;

    CHECK_EQ(sscanf(text, "%d %d %d %d %d %d", &use, &world, &plan.choice, &sticky, &plan.first,
                     &plan.second),
            6);
    plan.sticky = sticky;
    struct point point = {&uses[use], worlds[world], plan};
    if (getenv("FAULT_HERE")) {
        run_prepare();
        run_point(&point);
        return;
    }
    measure(&uses[use], worlds[world]);
    try_point(&point);
}

static void print_score(void)
{
    for (int i = 0; i < DOORS; i++)
        printf("%s %d, ", doors[i].name, score.by_door[i]);
    printf("\n%ld points refused, %ld of them with an error, %ld beyond the end, %ld slow, "
           "%ld failed\n",
            score.points, score.errors, score.missed, score.slow, score.failed);
    fflush(stdout);
}

TEST(r5_every_refusal_is_survived)
{
    static int counts[USES][WORLDS];
    long total = 0;

    if (getenv("FAULT_ONE")) {
        try_one(getenv("FAULT_ONE"));
        print_score();
        return;
    }
    for (int use = 0; use < USES; use++) {
        const char *only = getenv("FAULT_USE");
        if (only && strcmp(only, uses[use].name) != 0)
            continue;
        for (int world = 0; world < WORLDS; world++) {
            if (uses[use].worlds & (unsigned)worlds[world])
                counts[use][world] = measure(&uses[use], worlds[world]);
            total += counts[use][world] * WAYS;
        }
    }
    long points = setting("FAULT_POINTS", 0);
    long stride = points > 0 && total > points ? total / points : 1;
    printf("%ld points there are\n", total);
    for (long offset = 0; offset < stride && (offset == 0 || score.points < points); offset++)
        walk(counts, stride, offset, points);
    walk_pairs(counts, setting("FAULT_PAIRS", 0));
    print_score();
    CHECK_EQ(score.failed, 0);
}
