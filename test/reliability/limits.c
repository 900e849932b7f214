/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/*
 * R13, R14, R15: the system's real limits, on the uses of uses.h.
 *
 *   descriptors  each use at RLIMIT_NOFILE of 3 to 16 and a few more; and while another thread
 *                takes and gives back all there are, so that they go in the middle of things
 *   threads      pthread_create() says EAGAIN: the k-th one, and all from the k-th on, with runs
 *                nested 1 to 64 deep; RLIMIT_NPROC for who is not root; and each use with no thread
 *                to be had
 *   memory       RLIMIT_AS in steps, from what the process has to more than it needs; and malloc()
 *                failing for good
 *
 * Each time a call says what the system said, or works, and never more than that: no exit, no
 * crash, no deadlock, no loss; and when the limit is lifted, the same use works.
 */
#include "runs.h"

#include <sched.h>

struct trial {
    const struct use *use;
    enum world world;
    int resource; /* of setrlimit(); -1: none, the plan of the doors counts */
    rlim_t limit;
    struct plan plan;
};

static struct {
    long runs;
    long errors; /* of these a use said one */
    long middle; /* in so many libevent found no descriptor in the middle of a base */
    long failed;
} score;

static rlim_t set_limit(int resource, rlim_t limit)
{
    struct rlimit now;

    CHECK_EQ(getrlimit(resource, &now), 0);
    rlim_t before = now.rlim_cur;
    now.rlim_cur = limit < now.rlim_max ? limit : now.rlim_max;
    CHECK_EQ(setrlimit(resource, &now), 0);
    return before;
}

static int limited;         /* this resource, until lift() */
static rlim_t before_limit; /* what it was */

static void lift(void)
{
    set_limit(limited, before_limit);
}

static void limit(int resource, rlim_t most)
{
    limited = resource;
    lift_limits = lift;
    before_limit = set_limit(resource, most);
}

static void ignore(const char *task, const struct anysync_error *error, void *context)
{
    (void)task;
    (void)context;
    CHECK_NE(error->code, 0);
}

/* What is left of a run: nothing is limited any more. */
static void recover(const struct trial *trial)
{
    if (lift_limits)
        lift();
    refused_for_real = false;
    door_plan((struct plan){.only = -1});
    CHECK_EQ(use_in(trial->use, trial->world), 0);
    surely_shut_down(NULL, ANYSYNC_DRAIN);
    CHECK_EQ(count_of(&bodies_begun), count_of(&bodies_ended));
    told->reached = true;
}

static void run_limited(void *argument)
{
    const struct trial *trial = argument;
    bool real = trial->resource >= 0;

    doors_install();
    door_tell = told->by_door;
    anysync_set_error_hook(ignore, NULL);
    refused_for_real = real;
    if (real)
        limit(trial->resource, trial->limit);
    else
        door_plan(trial->plan);
    told->code = use_in(trial->use, trial->world);
    recover(trial);
    if (real)
        _exit(EXIT_SUCCESS); /* libevent may have left half a base behind: no leak check */
}

static void judge(const char *what, const struct trial *trial, const struct run *run)
{
    score.runs++;
    score.errors += run->told.code != 0;
    score.middle += trial->resource == RLIMIT_NOFILE && run->told.by_door[DOOR_PIPE] > 0;
    if (run->well)
        return;
    score.failed++;
    printf("FAILED: %s, %s in %s, limit %ld, point %d%s: %s%s\n", what, trial->use->name,
            world_name(trial->world), (long)trial->limit, trial->plan.first,
            trial->plan.sticky ? " and all that follow" : "", run->hung ? "hangs; " : "", run->why);
    fflush(stdout);
}

static void try_trial(const char *what, const struct trial *trial)
{
    struct run run = run_use(run_limited, (void *)(intptr_t)trial);

    judge(what, trial, &run);
}

static void finish_score(const char *what)
{
    printf("%ld %s, %ld of them with an error, %ld failed\n", score.runs, what, score.errors,
            score.failed);
    if (score.middle)
        printf("%ld times libevent would have ended the process\n", score.middle);
    fflush(stdout);
    CHECK_EQ(score.failed, 0);
}

static long setting(const char *name, long otherwise)
{
    const char *text = getenv(name);

    return text ? strtol(text, NULL, 10) : otherwise;
}

/* All uses in all their worlds; every STRIDE-th, beginning with a different one each time. */
static void try_all(const char *what, struct trial trial, long stride)
{
    static long number;

    number++;
    for (int use = 0; use < USES; use++) {
        for (int world = 0; world < WORLDS; world++) {
            if (!(uses[use].worlds & (unsigned)worlds[world]) || number++ % stride != 0)
                continue;
            trial.use = &uses[use];
            trial.world = worlds[world];
            try_trial(what, &trial);
        }
    }
}

/* --- descriptors ------------------------------------------------------------------------------ */

TEST(r13_descriptors_in_steps)
{
    for (int limit = 3; limit <= 24; limit++)
        try_all("descriptors", (struct trial){.resource = RLIMIT_NOFILE, .limit = (rlim_t)limit},
                setting("LIMIT_STRIDE", 1));
    finish_score("runs with few descriptors");
}

static atomic_bool enough;

/* Take descriptors until there are none, give some back, again and again. */
static void eat_descriptors(void *argument, int index)
{
    int fds[64], count = 0;

    (void)argument;
    door_own++;
    for (unsigned turn = 0; !atomic_load(&enough); turn++) {
        while (count < 64 && (fds[count] = dup(STDERR_FILENO)) >= 0)
            count++;
        sched_yield();
        for (unsigned keep = (turn * 7 + (unsigned)index) % 13; count > (int)keep;)
            close(fds[--count]);
        if (turn % 3 == 0)
            sched_yield();
    }
    while (count > 0)
        close(fds[--count]);
}

static void use_while_eaten(void *argument)
{
    const struct trial *trial = argument;

    doors_install();
    door_tell = told->by_door;
    anysync_set_error_hook(ignore, NULL);
    refused_for_real = true;
    limit(RLIMIT_NOFILE, trial->limit);
    atomic_store(&door_dawdles, true);
    struct test_threads *eaters = test_threads_start(2, eat_descriptors, NULL);
    for (int i = 0; i < 20; i++)
        told->code |= use_in(trial->use, trial->world);
    atomic_store(&enough, true);
    test_threads_join(eaters);
    recover(trial);
    _exit(EXIT_SUCCESS);
}

/* Uses that make a base, while others take descriptors at any moment. */
TEST(r13_descriptors_that_others_take)
{
    static const char *const names[] = {"pipe", "sockets", "base", "many", "executor"};

    for (long round = setting("LIMIT_ROUNDS", 1); round > 0; round--) {
        for (int use = 0; use < USES; use++) {
            bool chosen = false;
            for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
                chosen = chosen || strcmp(uses[use].name, names[i]) == 0;
            for (int world = 0; chosen && world < WORLDS; world++) {
                struct trial trial = {&uses[use], worlds[world], RLIMIT_NOFILE, 24, {0}};
                if (!(uses[use].worlds & (unsigned)worlds[world]))
                    continue;
                struct run run = run_use(use_while_eaten, &trial);
                judge("descriptors that others take", &trial, &run);
            }
        }
    }
    CHECK_GE(score.middle, 1); /* else it shows nothing */
    finish_score("times 20 uses while others took descriptors");
}

/* --- threads ---------------------------------------------------------------------------------- */

enum { MOST_DEPTH = 64 };

static int depth_now;

static int use_depth(void)
{
    int value = -7;
    int error = step(nest_run(&value, depth_now - 1));

    CHECK_EQ(value, error ? -7 : 42);
    return error;
}

/* The k-th thread is refused, or all from the k-th on, in runs nested so many deep. */
TEST(r14_threads_at_each_depth)
{
    static const struct use nested = {"depth", use_depth, EVERYWHERE_AND_POOL};
    long step_size = setting("LIMIT_STRIDE", 1);

    for (depth_now = 1; depth_now <= MOST_DEPTH; depth_now++) {
        /* The worker, and one for each level. */
        for (int k = 1; k <= depth_now + 1; k += k < 4 || k >= depth_now - 1 ? 1 : (int)step_size) {
            for (int sticky = 0; sticky < 2; sticky++) {
                struct plan plan = {.first = k, .sticky = sticky, .only = DOOR_THREAD};
                try_trial("threads", &(struct trial){&nested, PLAIN, -1, 0, plan});
            }
        }
    }
    finish_score("nested runs without one thread, or any more");
}

/* Each use, at each thread it starts. */
TEST(r14_threads_of_each_use)
{
    for (int k = 1; k <= 4; k++) {
        for (int sticky = 0; sticky < 2; sticky++) {
            struct plan plan = {.first = k, .sticky = sticky, .only = DOOR_THREAD};
            try_all("threads", (struct trial){.resource = -1, .plan = plan}, 1);
        }
    }
    finish_score("uses without one thread, or any more");
}

static void use_without_processes(void *argument)
{
    uid_t nobody = (uid_t)(500000 + getpid() % 100000); /* whom nobody else is */

    if (geteuid() == 0)
        CHECK_EQ(setresuid(nobody, nobody, nobody), 0);
    run_limited(argument);
}

/* As `ulimit -u`: the system refuses, not we. */
TEST(r14_the_systems_limit)
{
    for (int limit = 1; limit <= 5; limit++) {
        for (int use = 0; use < USES; use++) {
            for (int world = 0; world < WORLDS; world++) {
                struct trial trial = {&uses[use], worlds[world], RLIMIT_NPROC, (rlim_t)limit, {0}};
                if (!(uses[use].worlds & (unsigned)worlds[world]))
                    continue;
                struct run run = run_use(use_without_processes, &trial);
                judge("ulimit -u", &trial, &run);
            }
        }
    }
    finish_score("uses under the system's limit of threads");
}

/* --- memory ----------------------------------------------------------------------------------- */

static size_t address_space(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    CHECK(file != NULL);
    CHECK_EQ(fscanf(file, "%lu", &pages), 1);
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* From nothing to spare to more than enough, in equal ratios. */
TEST(r15_address_space)
{
    if (TEST_ASAN || TEST_TSAN)
        test_skip("a sanitizer needs all the address space");
    long steps = setting("LIMIT_STEPS", 20);
    double room = 64 << 10, most = 256 << 20;
    double ratio = 1;
    size_t base;

    run_prepare();
    base = address_space();
    for (double whole = most / room; ratio < 4096; ratio += 1e-4) { /* ratio^(steps-1) == whole */
        double power = 1;
        for (long i = 1; i < steps; i++)
            power *= ratio;
        if (power >= whole)
            break;
    }
    for (long i = 0; i < steps; i++, room *= ratio)
        try_all("address space",
                (struct trial){.resource = RLIMIT_AS, .limit = (rlim_t)(base + (size_t)room)},
                setting("LIMIT_STRIDE", 1));
    printf("%ld steps of address space\n", steps);
    finish_score("uses with so much address space");
}

/* malloc() fails for good, from the k-th time on. */
TEST(r15_no_memory_for_good)
{
    static const int points[] = {1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 22, 28, 36, 46, 60};
    static const enum door all[] = {DOOR_MEMORY, DOOR_MEMORY_2, DOOR_MMAP};

    for (size_t door = 0; door < sizeof(all) / sizeof(*all); door++) {
        for (size_t i = 0; i < sizeof(points) / sizeof(*points); i++) {
            struct plan plan = {.first = points[i], .sticky = true, .only = (int)all[door]};
            try_all("memory", (struct trial){.resource = -1, .plan = plan},
                    setting("LIMIT_STRIDE", 1));
        }
    }
    finish_score("uses without memory for good");
}
