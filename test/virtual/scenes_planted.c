/* SPDX-License-Identifier: MIT */
/*
 * Scenes that fail in some orders, on purpose: what a failure prints has to replay it, each time
 * (test/reliability/check_replay.sh).  They run only when they are named.
 */
#include "scenes.h"

#include "thread/doorbell.h"
#include "thread/mailbox.h"

#include <errno.h>

/* A consumer that looks, and then sleeps without having said so: the wake is lost. */
static struct asi_mailbox mailbox;
static struct asi_doorbell bell;
static struct asi_letter letter;

static void push(void *unused)
{
    (void)unused;
    if (asi_mailbox_push(&mailbox, &letter) == ASI_PUSH_WAKE)
        asi_doorbell_ring(&bell);
}

SCENE(planted_lost_wake, 2, 1)
{
    asi_mailbox_init(&mailbox);
    asi_doorbell_init(&bell);
    int producer = virtual_start(push, NULL);
    if (!asi_mailbox_take_all(&mailbox))
        (void)asi_doorbell_sleep(&bell, asi_doorbell_ticket(&bell), ANYSYNC_FOREVER);
    virtual_join(producer);
}

/* A future that is dropped by one who does not own it. */
static struct anysync_future *future;

static void set(void *unused)
{
    int value = 42;

    (void)unused;
    (void)anysync_future_set(future, &value);
}

SCENE(planted_use_after_free, 2, 0)
{
    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_future_new(sizeof(int), &future) == 0);
    int setter = virtual_start(set, NULL);
    (void)!anysync_future_wait(future, anysync_in_us(1));
    anysync_future_unref(future);
    virtual_join(setter);
}

/* Two who count without a lock, and look at something else meanwhile. */
static int count;

static void add(void *unused)
{
    (void)unused;
    int before = count;
    VIRTUAL_CHECK(!anysync_future_done(future));
    count = before + 1;
}

SCENE(planted_lost_update, 2, 0)
{
    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_future_new(0, &future) == 0);
    int other = virtual_start(add, NULL);
    add(NULL);
    virtual_join(other);
    VIRTUAL_CHECK(count == 2);
    anysync_future_unref(future);
}

/* Who does not think of a refused allocation, if something else comes together with it. */
static int echo_body(void *argument, void *result)
{
    *(int *)result = *(int *)argument;
    return 0;
}

static const struct anysync_function echo =
        ANYSYNC_FUNCTION(echo, echo_body, sizeof(int), sizeof(int));

SCENE(planted_optimism, 1, 0)
{
    int choice = (int)virtual_choose(8), result = 0;

    scene_configure(ANYSYNC_FOREVER);
    virtual_disturb(2, 1);
    int error = anysync_run(&echo, &choice, &result, anysync_in_us(1));
    VIRTUAL_CHECK(choice != 5 || error == 0 || error == -ETIMEDOUT);
}
