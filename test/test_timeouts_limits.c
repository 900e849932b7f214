/* SPDX-License-Identifier: MIT */
/*
 * Calls that ran into their deadline: whose grace time counts, and what the task may touch after
 * the call has returned (include/anysync/task.h, DEADLINES).  The rest: test_timeouts.c.
 *
 * Contract                                    Tested by
 *   C1 the grace of the executor that is named c1_the_grace_is_that_of_the_executor_named
 *   C2 no access to the caller's memory at all c2_an_abandoned_task_never_touches_its_callers_page
 */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include "stage.h"

#include <anysync/typed.h>

#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/mman.h>

#define MS ((int64_t)1000 * 1000)

static struct anysync_executor *own;

/* The global executor, not started yet, and `own` get these grace times. */
static void give_grace(int64_t global_ns, int64_t own_ns)
{
    struct anysync_executor_options options = {.name = "own", .grace_ns = global_ns};

    CHECK_EQ(anysync_configure(&options), 0);
    options.grace_ns = own_ns;
    CHECK_EQ(anysync_executor_new(&options, &own), 0);
}

static void drop_own(void)
{
    CHECK_EQ(anysync_executor_shutdown(own, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    own = anysync_executor_unref(own);
}

/* --- whose grace ------------------------------------------------------------------------------ */

/* Needs a few turns to go. */
ANYSYNC_COROUTINE(void, go_slowly)
{
    int error = anysync_sleep(ANYSYNC_FOREVER);

    for (int i = 0; i < 100; i++)
        CHECK_EQ(anysync_yield(), -ECANCELED);
    return error;
}

static void check_has_time_to_go(void)
{
    CHECK_EQ(go_slowly_run_on_until(own, anysync_in_ns(2 * MS)), -ETIMEDOUT);
    CHECK_CONTAINS(anysync_last_error()->message, "has ended");
}

ANYSYNC_COROUTINE(void, check_in_coroutine)
{
    check_has_time_to_go();
    return 0;
}

TEST(c1_the_grace_is_that_of_the_executor_named)
{
    give_grace(-1, 3600 * 1000 * MS); /* none for tasks of the global one */
    check_has_time_to_go();
    CHECK_EQ(check_in_coroutine_run(), 0);
    CHECK_EQ(check_in_coroutine_run_here(), 0);
    drop_own();
}

/* --- the caller's memory ---------------------------------------------------------------------- */

struct sheet {
    struct stage *stage;
    char text[56];
};

/* What the caller gave, alone on its page. */
struct caller_page {
    struct sheet argument, result;
};

enum { PAGE = 64 * 1024 }; /* at least a page, wherever this runs */

/* Goes on after its cancel until it is released; then it reads and writes all it was given. */
static int scribble(void *argument, void *result)
{
    struct sheet *given = argument, *made = result;
    struct stage *mine = given->stage;

    stay(mine);
    memcpy(made, given, sizeof(*made));
    memset(given, 'w', sizeof(*given));
    return anysync_future_set(mine->ended, NULL);
}

static const struct anysync_function scribble_function =
        ANYSYNC_FUNCTION(scribble, scribble, sizeof(struct sheet), sizeof(struct sheet));

typedef int run_fn(const struct anysync_function *function, const void *argument, void *ret_result,
        anysync_time deadline);

static int run_on_own(const struct anysync_function *function, const void *argument,
        void *ret_result, anysync_time deadline)
{
    return anysync_run_on(own, function, argument, ret_result, deadline);
}

/* Has a task that began run into its deadline.  On a busy machine that may pass before it begins:
 * then it never will, and we try again. */
static void abandon(run_fn *run, struct caller_page *page)
{
    do {
        if (stage)
            atomic_store(&stage->release, true);
        open_stage();
        memset(page, 'c', sizeof(*page));
        page->argument.stage = stage;
        CHECK_EQ(run(&scribble_function, &page->argument, &page->result, anysync_in_ns(2 * MS)),
                -ETIMEDOUT);
    } while (!atomic_load(&stage->began));
    CHECK_CONTAINS(anysync_last_error()->message, "abandoned");
}

ANYSYNC_COROUTINE(void, abandon_in_coroutine, (run_fn *, run), (struct caller_page *, page))
{
    abandon(run, page);
    return 0;
}

/* After the call nobody can touch the page: whoever tries ends the process. */
static void check_page(run_fn *run, bool in_coroutine)
{
    void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(page != MAP_FAILED);
    if (in_coroutine)
        CHECK_EQ(abandon_in_coroutine_run(run, page), 0);
    else
        abandon(run, page);
    CHECK_EQ(mprotect(page, PAGE, PROT_NONE), 0);
    close_stage();
    CHECK_EQ(munmap(page, PAGE), 0);
}

TEST(c2_an_abandoned_task_never_touches_its_callers_page)
{
    give_grace(MS, MS);
    check_page(anysync_run, false);
    check_page(anysync_run, true); /* nested */
    check_page(anysync_await, true);
    check_page(run_on_own, false);
    check_page(run_on_own, true);
    drop_own();
}

/* --- a loop that only waits ------------------------------------------------------------------- */

static sem_t begun, let_go;

ANYSYNC_COROUTINE(void, block_worker)
{
    sem_post(&begun);
    while (sem_wait(&let_go) != 0)
        ;
    return 0;
}

ANYSYNC_COROUTINE(void, come_after)
{
    return 0;
}

ANYSYNC_COROUTINE(void, wait_for_blocked)
{
    return come_after_run_on(own);
}

/* When the grace ends there is nothing on this loop that could go on: it must not sleep then. */
TEST(c1_the_grace_ends_a_loop_that_only_waits)
{
    CHECK_EQ(sem_init(&begun, 0, 0), 0);
    CHECK_EQ(sem_init(&let_go, 0, 0), 0);
    give_grace(0, 3600 * 1000 * MS);
    CHECK_EQ(block_worker_start_on(own, NULL), 0);
    while (sem_wait(&begun) != 0)
        ;
    CHECK_EQ(wait_for_blocked_run_here_until(anysync_in_ns(2 * MS)), -ETIMEDOUT);
    CHECK_CONTAINS(anysync_last_error()->message, "abandoned");
    sem_post(&let_go); /* only now */
    drop_own();
}
