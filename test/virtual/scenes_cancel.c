/* SPDX-License-Identifier: MIT */
/*
 * A cancel at any moment of each call that waits (scenes_calls.h).
 *
 * The director, a coroutine on a loop of thread 0, starts the VICTIM, which makes the call, and
 * perhaps a second caller.  Thread 1 feeds them.  The victim is cancelled in one of these ways:
 *
 *   BEFORE          it begins
 *   AT_A_POINT      at its first, second, ... suspension, before others go on
 *   AFTER           it has ended
 *   BY_A_SCOPE      like AT_A_POINT, but only the scope around the call is
 *   FROM_A_THREAD   at any moment
 *   TWICE           at any moment, and once more
 *   BY_A_GROUP      at any moment, as a child of a group, by another thread
 *
 * In half of them nothing is fed before the victim has ended: it has to hear of the cancel.
 *
 * In each order: the victim ends once, with -ECANCELED or with what it waited for; if it began, its
 * code went on to its end, once, and what it says is what its future says; the second caller is
 * served; nothing that was given is lost, which each call's close() sees; nobody is left.
 */
#include "scenes_calls.h"

#include "sched/scheduler.h"

enum { POINTS = 5 }; /* suspensions that are tried, at most */

enum way { BEFORE, AT_A_POINT, AFTER, BY_A_SCOPE, FROM_A_THREAD, TWICE, BY_A_GROUP };

static const struct scene_call *call;
static enum way way;
static unsigned point, suspensions;
static bool asked; /* the victim was cancelled, as its own thread knows */

static struct anysync_future *victim, *second, *cancelled; /* cancelled: by a group */
static struct anysync_task *victim_task;
static struct anysync_scope *victim_scope;
static struct anysync_group *group;
static int began, came_to_end, ended_with, served, answers[2];
static int canceller, feeder;

static void on_suspension(struct anysync_task *task)
{
    if (asi_scheduler_here()->kind != ASI_LOOP_HERE) /* another thread's */
        return;
    if (task != victim_task || ++suspensions != point)
        return;
    if (way == BY_A_SCOPE)
        anysync_scope_cancel(victim_scope, "at a point");
    else
        asi_task_cancel(task, "at a point");
    asked = true;
}

static int victim_body(void *argument, void *result)
{
    struct anysync_scope scope;

    (void)argument;
    (void)result;
    began++;
    victim_task = asi_scheduler_here()->current;
    victim_scope = &scope;
    anysync_scope_enter(&scope, ANYSYNC_FOREVER);
    int error = call->call(ANYSYNC_FOREVER);
    victim_task = NULL;
    if (asked)
        VIRTUAL_CHECK(anysync_check_cancelled() == -ECANCELED && anysync_yield() == -ECANCELED);
    VIRTUAL_CHECK(error == 0 || error == -ECANCELED);
    ended_with = anysync_scope_exit(&scope, error);
    VIRTUAL_CHECK(ended_with == error);
    if (way == BY_A_SCOPE)
        VIRTUAL_CHECK(anysync_yield() == 0); /* the rest of the task goes on */
    came_to_end++;
    return error;
}

static int second_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    served++;
    return call->call(ANYSYNC_FOREVER);
}

static const struct anysync_function victim_function = ANYSYNC_FUNCTION(victim, victim_body, 0, 0);
static const struct anysync_function second_function = ANYSYNC_FUNCTION(second, second_body, 0, 0);

static void cancel(void *unused)
{
    (void)unused;
    answers[0] = anysync_cancel_because(victim, "from elsewhere");
    if (way == TWICE)
        answers[1] = anysync_cancel(victim);
    anysync_future_unref(victim);
}

static void cancel_group(void *unused)
{
    (void)unused;
    anysync_group_cancel(group, "from elsewhere");
    scene_set_done(cancelled);
}

static void feed(void *unused)
{
    (void)unused;
    call->feed();
}

static void start_feeder(void)
{
    feeder = call->feed ? virtual_start(feed, NULL) : 0;
}

/* The group ends when who cancels it has done so, and its opener is cancelled with it. */
static int direct_group(void)
{
    struct anysync_scope shield;

    VIRTUAL_CHECK(anysync_future_new(0, &cancelled) == 0);
    anysync_future_ref(cancelled);
    VIRTUAL_CHECK(anysync_group_open(&group) == 0);
    VIRTUAL_CHECK(anysync_group_spawn(group, &victim_function, NULL, &victim) == 0);
    canceller = virtual_start(cancel_group, NULL);
    anysync_shield_enter(&shield, ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_future_wait(cancelled, ANYSYNC_FOREVER) == 0);
    VIRTUAL_CHECK(anysync_scope_exit(&shield, 0) == 0);
    anysync_future_unref(cancelled);
    int error = anysync_group_close(group, 0, ANYSYNC_FOREVER);
    VIRTUAL_CHECK(error == anysync_future_result(victim, NULL));
    return anysync_check_cancelled(); /* the group's cancel is over with it */
}

static int direct(void *argument, void *result)
{
    (void)argument;
    (void)result;
    scene_configure_here();
    if (call->callers == 2)
        VIRTUAL_CHECK(anysync_spawn(&second_function, NULL, &second) == 0);
    if (way == BY_A_GROUP)
        VIRTUAL_CHECK(direct_group() == 0);
    else
        VIRTUAL_CHECK(anysync_spawn(&victim_function, NULL, &victim) == 0);
    if (way == BEFORE)
        VIRTUAL_CHECK(anysync_cancel(victim) == 0);
    if (way == FROM_A_THREAD || way == TWICE) {
        anysync_future_ref(victim);
        canceller = virtual_start(cancel, NULL);
    }
    VIRTUAL_CHECK(anysync_future_wait(victim, ANYSYNC_FOREVER) == 0);
    if (scene_unfed)
        start_feeder();
    if (way == AFTER)
        VIRTUAL_CHECK(anysync_cancel(victim) == ANYSYNC_DONE);
    if (second)
        VIRTUAL_CHECK(anysync_wait(second, NULL, ANYSYNC_FOREVER) == 0 && served == 1);
    if (call->settle)
        call->settle();
    return 0;
}

static const struct anysync_function director = ANYSYNC_FUNCTION(director, direct, 0, 0);

static void judge(void)
{
    int error = anysync_future_result(victim, NULL);

    VIRTUAL_CHECK(began == came_to_end && began <= 1);
    if (began)
        VIRTUAL_CHECK(error == ended_with);
    else
        VIRTUAL_CHECK(error == -ECANCELED);
    if (way == BEFORE)
        VIRTUAL_CHECK(began == 0);
    if (way == AFTER || (point > 0 && suspensions < point))
        VIRTUAL_CHECK(error == 0);
    if (scene_unfed && call->feed)
        VIRTUAL_CHECK(error == -ECANCELED);
    if (answers[0] == ANYSYNC_DONE)
        VIRTUAL_CHECK(error == 0 && (way != TWICE || answers[1] == ANYSYNC_DONE));
}

static void cut(const struct scene_call *which, enum way first, enum way last)
{
    call = which;
    way = first + virtual_choose(last - first + 1);
    point = way == AT_A_POINT || way == BY_A_SCOPE ? 1 + virtual_choose(POINTS) : 0;
    if (!call->stays && way != AFTER && point <= 1)
        scene_unfed = virtual_choose(2);
    scene_configure(ANYSYNC_FOREVER);
    if (point > 0)
        asi_suspend_hook = on_suspension;
    if (call->open)
        call->open();
    if (!scene_unfed)
        start_feeder();
    VIRTUAL_CHECK(anysync_run_here(&director, NULL, NULL, ANYSYNC_FOREVER) == 0);
    if (canceller)
        virtual_join(canceller);
    if (feeder)
        virtual_join(feeder);
    judge();
    anysync_future_unref(victim);
    anysync_future_unref(second);
    if (call->close)
        call->close();
}

#define CANCEL_SCENES(name)                                                                        \
    SCENE(cancel_##name##_at_its_points, 1, 0)                                                     \
    {                                                                                              \
        cut(&scene_call_##name, BEFORE, BY_A_SCOPE);                                               \
    }                                                                                              \
    SCENE(cancel_##name##_from_elsewhere, 2, 0)                                                    \
    {                                                                                              \
        cut(&scene_call_##name, FROM_A_THREAD, BY_A_GROUP);                                        \
    }
SCENE_CALLS(CANCEL_SCENES)
