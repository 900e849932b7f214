/* SPDX-License-Identifier: MIT */
/*
 * Timers (lib/loop/timers.h).
 *
 * Promised                                  Tested by
 *   next is the earliest, or FOREVER          next_is_the_earliest_deadline
 *   fire: all that are due, earliest first    timers_fire_in_order_and_only_when_due
 *   equal deadlines all fire                  equal_deadlines_all_fire
 *   a fired timer is disarmed, may be armed   a_timer_may_be_armed_again_when_it_fires
 *   again by its own function
 *   firing may arm and disarm others          firing_may_disarm_others, firing_may_arm_others
 *   disarm anywhere; no effect if not armed   a_timer_may_be_disarmed_anywhere,
 *                                             disarming_twice_does_nothing
 *   arming twice stops the program            arming_twice_stops_the_program
 *   all of it, against a sorted array, near   random_operations_agree_with_a_sorted_array,
 *   and far, from nanoseconds to centuries    random_far_deadlines_agree_with_a_sorted_array
 *   equal deadlines far away: first armed,    far_equal_deadlines_fire_in_the_order_of_arming
 *   first fired
 *   next is never late; at most a tick of     next_is_soon_right_after_a_far_timer_was_disarmed
 *   the wheel early, once
 *   cleared: none is left                     cleared_timers_are_gone
 *   no recursion: many timers, any shape      a_million_timers_need_no_deep_stack
 */
#include "harness.h"

#include "base/list.h"
#include "loop/timers.h"

#include <signal.h>

struct item {
    struct asi_timer timer;
    int fired;
};

static struct asi_timers timers; /* all zero is empty; each test is a process */
static anysync_time last_fired;
static int fired;

static void on_fire(struct asi_timer *timer)
{
    CHECK(!timer->armed);
    CHECK_GE(timer->deadline, last_fired);
    last_fired = timer->deadline;
    asi_container_of(timer, struct item, timer)->fired++;
    fired++;
}

static void arm_all(struct item *items, const anysync_time *deadlines, int count)
{
    for (int i = 0; i < count; i++) {
        items[i].fired = 0;
        asi_timer_init(&items[i].timer, on_fire);
        asi_timer_arm(&timers, &items[i].timer, deadlines[i]);
    }
}

TEST(next_is_the_earliest_deadline)
{
    static const anysync_time deadlines[] = {50, 30, 70, 20, 90};
    static const anysync_time earliest[] = {50, 30, 30, 20, 20};
    struct item items[5];

    CHECK_EQ(asi_timers_next(&timers), ANYSYNC_FOREVER);
    for (int i = 0; i < 5; i++) {
        arm_all(&items[i], &deadlines[i], 1);
        CHECK_EQ(asi_timers_next(&timers), earliest[i]);
    }
    asi_timer_disarm(&timers, &items[3].timer);
    CHECK_EQ(asi_timers_next(&timers), 30);
}

TEST(timers_fire_in_order_and_only_when_due)
{
    static const anysync_time deadlines[] = {5, 3, 9, 1, 7, 2, 8, 4, 6};
    struct item items[9];

    arm_all(items, deadlines, 9);
    for (anysync_time now = 0; now <= 10; now++) {
        asi_timers_fire(&timers, now);
        CHECK_EQ(fired, now > 9 ? 9 : now);
    }
    CHECK_EQ(asi_timers_next(&timers), ANYSYNC_FOREVER);
    CHECK(!asi_timers_any(&timers));
}

TEST(equal_deadlines_all_fire)
{
    static const anysync_time deadlines[8] = {4, 4, 4, 4, 4, 4, 4, 4};
    struct item items[8];

    arm_all(items, deadlines, 8);
    asi_timers_fire(&timers, 3);
    CHECK_EQ(fired, 0);
    asi_timers_fire(&timers, 4);
    CHECK_EQ(fired, 8);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(items[i].fired, 1);
}

static void arm_again(struct asi_timer *timer)
{
    if (++fired < 5)
        asi_timer_arm(&timers, timer, timer->deadline + 10);
}

TEST(a_timer_may_be_armed_again_when_it_fires)
{
    struct asi_timer timer;

    asi_timer_init(&timer, arm_again);
    asi_timer_arm(&timers, &timer, 10);
    asi_timers_fire(&timers, 10);
    CHECK_EQ(fired, 1);
    CHECK_EQ(asi_timers_next(&timers), 20);
    asi_timers_fire(&timers, 1000); /* also what became due meanwhile */
    CHECK_EQ(fired, 5);
    CHECK(!timer.armed);
}

static struct item victims[10];

static void disarm_victims(struct asi_timer *timer)
{
    (void)timer;
    fired++;
    for (int i = 0; i < 10; i++)
        asi_timer_disarm(&timers, &victims[i].timer);
}

TEST(firing_may_disarm_others)
{
    static const anysync_time deadlines[10] = {6, 7, 5, 8, 5, 9, 6, 5, 9, 7};
    struct asi_timer first;

    arm_all(victims, deadlines, 10);
    asi_timer_init(&first, disarm_victims);
    asi_timer_arm(&timers, &first, 1);
    asi_timers_fire(&timers, 100);
    CHECK_EQ(fired, 1);
    CHECK(!asi_timers_any(&timers));
}

static void arm_victims(struct asi_timer *timer)
{
    static const anysync_time deadlines[10] = {6, 7, 50, 8, 5, 90, 6, 5, 9, 7};

    (void)timer;
    arm_all(victims, deadlines, 10);
}

TEST(firing_may_arm_others)
{
    struct asi_timer first;

    asi_timer_init(&first, arm_victims);
    asi_timer_arm(&timers, &first, 1);
    asi_timers_fire(&timers, 10);
    CHECK_EQ(fired, 8);
    CHECK_EQ(asi_timers_next(&timers), 50);
}

TEST(a_timer_may_be_disarmed_anywhere)
{
    enum { COUNT = 20 };
    anysync_time deadlines[COUNT];
    struct item items[COUNT];

    for (int i = 0; i < COUNT; i++)
        deadlines[i] = (i * 7) % COUNT;
    for (int victim = 0; victim < COUNT; victim++) {
        for (int turns = 0; turns < COUNT; turns++) {
            fired = 0;
            last_fired = 0;
            arm_all(items, deadlines, COUNT);
            asi_timers_fire(&timers, turns - 1); /* gives the heap another shape */
            int expected = COUNT - (deadlines[victim] >= turns);
            asi_timer_disarm(&timers, &items[victim].timer);
            asi_timers_fire(&timers, COUNT);
            CHECK_EQ(fired, expected);
            CHECK(!asi_timers_any(&timers));
        }
    }
}

TEST(disarming_twice_does_nothing)
{
    static const anysync_time deadlines[] = {3, 4};
    struct item items[2];

    arm_all(items, deadlines, 2);
    asi_timer_disarm(&timers, &items[0].timer);
    asi_timer_disarm(&timers, &items[0].timer);
    CHECK_EQ(asi_timers_next(&timers), 4);
    asi_timers_fire(&timers, 4);
    asi_timer_disarm(&timers, &items[1].timer);
    CHECK_EQ(fired, 1);
}

static int arm_twice(void *argument)
{
    struct asi_timer timer;

    (void)argument;
    asi_timer_init(&timer, on_fire);
    asi_timer_arm(&timers, &timer, 1);
    asi_timer_arm(&timers, &timer, 2);
    return 0;
}

TEST(arming_twice_stops_the_program)
{
    struct test_child child = test_child(arm_twice, NULL);

    CHECK_EQ(child.signal, SIGABRT);
    CHECK_CONTAINS(child.errors, "a timer was armed twice");
    free(child.errors);
}

/* --- against a sorted array ------------------------------------------------------------------- */

enum { MOST = 300 };

static struct item pool[MOST];
static struct item *sorted[MOST]; /* the armed ones, by deadline */
static int sorted_count;
static unsigned random_state = 12345;

static unsigned random_below(unsigned limit)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % limit;
}

static void reference_arm(struct item *item)
{
    int at = sorted_count++;

    for (; at > 0 && sorted[at - 1]->timer.deadline > item->timer.deadline; at--)
        sorted[at] = sorted[at - 1];
    sorted[at] = item;
}

static void reference_disarm(const struct item *item)
{
    int at = 0;

    while (sorted[at] != item)
        at++;
    for (sorted_count--; at < sorted_count; at++)
        sorted[at] = sorted[at + 1];
}

static void fire_checked(struct asi_timer *timer)
{
    struct item *item = asi_container_of(timer, struct item, timer);

    CHECK(sorted_count > 0);
    CHECK_EQ(timer->deadline, sorted[0]->timer.deadline);
    reference_disarm(item);
    if (random_below(4) == 0) { /* arm again, perhaps due at once */
        asi_timer_arm(&timers, timer, timer->deadline + random_below(30));
        reference_arm(item);
    }
}

static void one_operation(anysync_time *now)
{
    struct item *item = &pool[random_below(MOST)];

    if (random_below(20) == 0) {
        *now += random_below(60);
        asi_timers_fire(&timers, *now);
        CHECK(sorted_count == 0 || sorted[0]->timer.deadline > *now);
    } else if (item->timer.armed) {
        asi_timer_disarm(&timers, &item->timer);
        reference_disarm(item);
    } else {
        asi_timer_arm(&timers, &item->timer, *now + random_below(200));
        reference_arm(item);
    }
    CHECK_EQ(asi_timers_next(&timers), sorted_count ? sorted[0]->timer.deadline : ANYSYNC_FOREVER);
}

TEST(random_operations_agree_with_a_sorted_array)
{
    anysync_time now = 0;

    for (int i = 0; i < MOST; i++)
        asi_timer_init(&pool[i].timer, fire_checked);
    for (long i = 0; i < test_scaled(500000); i++)
        one_operation(&now);
    asi_timers_fire(&timers, ANYSYNC_FOREVER - 1000);
}

/* --- far ones --------------------------------------------------------------------------------- */

/* From a nanosecond to 30 years, each scale as likely as the others. */
static anysync_time random_delay(void)
{
    anysync_time most = (anysync_time)1 << random_below(60);

    return ((anysync_time)random_below(1 << 24) << 36 | (anysync_time)random_below(1 << 24) << 12) %
           most;
}

static void fire_far(struct asi_timer *timer)
{
    CHECK(sorted_count > 0);
    CHECK_EQ(timer->deadline, sorted[0]->timer.deadline);
    reference_disarm(asi_container_of(timer, struct item, timer));
    if (random_below(4) == 0) {
        asi_timer_arm(&timers, timer, timer->deadline + random_delay());
        reference_arm(asi_container_of(timer, struct item, timer));
    }
}

/* Go to when the next timer is due, or by some delay. */
static void pass_time(anysync_time *now)
{
    anysync_time next = asi_timers_next(&timers), after = *now + random_delay();

    if (next == ANYSYNC_FOREVER || next < *now || random_below(8) == 0)
        next = after;
    *now = next;
    asi_timers_fire(&timers, *now);
    CHECK(sorted_count == 0 || sorted[0]->timer.deadline > *now);
}

static void one_far_operation(anysync_time *now)
{
    struct item *item = &pool[random_below(MOST)];

    if (random_below(4) == 0 && *now < (anysync_time)1 << 61) {
        pass_time(now);
    } else if (item->timer.armed) {
        asi_timer_disarm(&timers, &item->timer);
        reference_disarm(item);
    } else {
        asi_timer_arm(&timers, &item->timer, *now + random_delay());
        reference_arm(item);
    }
    if (sorted_count == 0)
        CHECK_EQ(asi_timers_next(&timers), ANYSYNC_FOREVER);
    else
        CHECK_GE(sorted[0]->timer.deadline, asi_timers_next(&timers));
}

TEST(random_far_deadlines_agree_with_a_sorted_array)
{
    anysync_time now = 0;

    for (int i = 0; i < MOST; i++)
        asi_timer_init(&pool[i].timer, fire_far);
    for (long i = 0; i < test_scaled(500000); i++) {
        one_far_operation(&now);
        if (now >= (anysync_time)1 << 61) { /* begin again, from a time of no special kind */
            for (int k = 0; k < MOST; k++)
                asi_timer_disarm(&timers, &pool[k].timer);
            sorted_count = 0;
            CHECK(!asi_timers_any(&timers));
            timers = (struct asi_timers){.base = 12345678901234};
            now = timers.base;
        }
    }
}

static struct asi_timer equal[40];
static int equal_fired;

static void fire_equal(struct asi_timer *timer)
{
    CHECK(timer == &equal[equal_fired]);
    equal_fired++;
}

TEST(far_equal_deadlines_fire_in_the_order_of_arming)
{
    anysync_time hour = 3600 * (anysync_time)1000000000;

    for (int i = 0; i < 40; i++) {
        asi_timer_init(&equal[i], fire_equal);
        asi_timer_arm(&timers, &equal[i], hour);
    }
    for (anysync_time now = 0; now < hour; now += hour / 1000)
        asi_timers_fire(&timers, now);
    CHECK_EQ(equal_fired, 0);
    asi_timers_fire(&timers, hour);
    CHECK_EQ(equal_fired, 40);
}

TEST(next_is_soon_right_after_a_far_timer_was_disarmed)
{
    static const anysync_time deadlines[] = {5000000000, 5000000001, 5500000000};
    struct item items[3];

    arm_all(items, deadlines, 3);
    CHECK_EQ(asi_timers_next(&timers), deadlines[0]);
    asi_timer_disarm(&timers, &items[0].timer);
    CHECK_GE(deadlines[1], asi_timers_next(&timers));
    asi_timer_disarm(&timers, &items[1].timer);
    anysync_time early = asi_timers_next(&timers);
    asi_timers_fire(&timers, early);
    CHECK_EQ(fired, 0);
    CHECK_EQ(asi_timers_next(&timers), deadlines[2]);
    asi_timers_fire(&timers, deadlines[2]);
    CHECK_EQ(fired, 1);
}

TEST(cleared_timers_are_gone)
{
    static const anysync_time deadlines[] = {5, 5000000000, (anysync_time)1 << 60};
    struct item items[3];

    arm_all(items, deadlines, 3);
    asi_timers_clear(&timers);
    CHECK(!asi_timers_any(&timers));
    CHECK_EQ(asi_timers_next(&timers), ANYSYNC_FOREVER);
    asi_timers_fire(&timers, ((anysync_time)1 << 60) + 1);
    CHECK_EQ(fired, 0);
}

TEST(a_million_timers_need_no_deep_stack)
{
    int count = (int)test_scaled(1000000);
    struct item *items = calloc((size_t)count, sizeof(*items));

    CHECK(items != NULL);
    for (int i = 0; i < count; i++) { /* falling: a chain of children; then one rising */
        anysync_time deadline = i % 2 ? count - i : count + i;
        arm_all(&items[i], &deadline, 1);
    }
    asi_timers_fire(&timers, 3 * (anysync_time)count);
    CHECK_EQ(fired, count);
    free(items);
}
