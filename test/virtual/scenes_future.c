/* SPDX-License-Identifier: MIT */
/*
 * Scenes of futures between plain threads: done, waited for, given up, freed.  (What a scene is:
 * virtual.h.)
 */
#include "scenes.h"

#include <errno.h>

static struct anysync_future *future, *other;
static int answer, completions[2];

static void settle(void)
{
    scene_configure(0);
    VIRTUAL_CHECK(anysync_future_new(sizeof(int), &future) == 0);
    VIRTUAL_CHECK(anysync_future_new(sizeof(int), &other) == 0);
}

static void set(void *index)
{
    int value = 42;

    completions[(size_t)index] = anysync_future_set(future, &value) == 0;
    anysync_future_unref(future);
}

SCENE(future_brings_its_value, 3, 1)
{
    settle();
    anysync_future_ref(future);
    int setter = virtual_start(set, (void *)0);
    VIRTUAL_CHECK(anysync_wait(future, &answer, ANYSYNC_FOREVER) == 0);
    VIRTUAL_CHECK(answer == 42);
    anysync_future_unref(future);
    virtual_join(setter);
}

SCENE(future_is_set_once, 3, 1)
{
    settle();
    anysync_future_ref(future);
    anysync_future_ref(future);
    int first = virtual_start(set, (void *)0);
    int second = virtual_start(set, (void *)1);
    VIRTUAL_CHECK(anysync_future_wait(future, ANYSYNC_FOREVER) == 0);
    virtual_join(first);
    virtual_join(second);
    VIRTUAL_CHECK(completions[0] + completions[1] == 1);
    VIRTUAL_CHECK(anysync_future_result(future, &answer) == 0 && answer == 42);
    anysync_future_unref(future);
}

SCENE(wait_for_a_future_times_out_or_not, 3, 1)
{
    settle();
    anysync_future_ref(future);
    int setter = virtual_start(set, (void *)0);
    int error = anysync_wait(future, &answer, anysync_in_ms(1));
    VIRTUAL_CHECK(error == -ETIMEDOUT || (error == 0 && answer == 42));
    virtual_join(setter);
    VIRTUAL_CHECK(anysync_wait(future, &answer, 0) == 0 && answer == 42);
    anysync_future_unref(future);
}

static void cancel(void *unused)
{
    (void)unused;
    (void)anysync_cancel(future);
    anysync_future_unref(future);
}

SCENE(future_is_set_or_cancelled, 3, 1)
{
    settle();
    anysync_future_ref(future);
    anysync_future_ref(future);
    int setter = virtual_start(set, (void *)0);
    int canceller = virtual_start(cancel, NULL);
    int error = anysync_wait(future, &answer, ANYSYNC_FOREVER);
    VIRTUAL_CHECK((error == 0 && answer == 42) || error == -ECANCELED);
    virtual_join(setter);
    virtual_join(canceller);
    VIRTUAL_CHECK(completions[0] == (error == 0));
    anysync_future_unref(future);
}

static void set_other(void *unused)
{
    (void)unused;
    scene_set(other, 43);
}

SCENE(first_of_two_futures_ends_the_wait, 3, 1)
{
    struct anysync_future *both[2];
    size_t index = 7;

    settle();
    both[0] = anysync_future_ref(future);
    both[1] = anysync_future_ref(other);
    int first = virtual_start(set, (void *)0);
    int second = virtual_start(set_other, NULL);
    VIRTUAL_CHECK(anysync_wait_any(both, 2, ANYSYNC_FOREVER, &index) == 0);
    VIRTUAL_CHECK(index < 2 && anysync_wait(both[index], &answer, 0) == 0);
    VIRTUAL_CHECK(answer == (index == 0 ? 42 : 43));
    anysync_future_unref(both[0]);
    anysync_future_unref(both[1]);
    virtual_join(first);
    virtual_join(second);
}

static void wait_too(void *unused)
{
    int value;

    (void)unused;
    VIRTUAL_CHECK(anysync_wait(future, &value, ANYSYNC_FOREVER) == 0 && value == 42);
    anysync_future_unref(future);
}

SCENE(future_wakes_all_its_waiters, 2, 1)
{
    settle();
    anysync_future_ref(future);
    anysync_future_ref(future);
    int setter = virtual_start(set, (void *)0);
    int second = virtual_start(wait_too, NULL);
    wait_too(NULL);
    virtual_join(setter);
    virtual_join(second);
}
