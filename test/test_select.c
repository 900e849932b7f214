/* SPDX-License-Identifier: MIT */
/*
 * Waiting for whichever of several channels is ready first (include/anysync/channel.h).
 *
 * Promised                                       Tested by
 *   one is done, and nothing else                  what_is_possible_is_done
 *                                                  whoever_comes_first_is_served
 *   in turn, if several are possible               ready_channels_take_turns
 *   two that select meet                           two_selects_meet
 *   one channel in several choices                 a_channel_may_be_in_several_choices
 *   a closed channel                               a_closed_channel_is_told
 *   giving up loses nothing                        giving_up_loses_nothing
 *   a callback may poll                            a_callback_may_only_poll
 *   bad choices, no memory, fork                   bad_choices_are_refused
 *                                                  many_choices_need_memory
 *                                                  a_forked_child_is_refused
 *   every item once                                stress_every_item_goes_one_way
 *                                                  stress_selects_among_themselves
 */
#include "fault.h"
#include "futures.h"
#include "jobs.h"

ANYSYNC_CHANNEL(number, int);

static number_channel *new_channel(size_t capacity)
{
    number_channel *channel = NULL;

    CHECK_EQ(number_channel_new(capacity, &channel), 0);
    return channel;
}

static void put(number_channel *channel, int item)
{
    CHECK_EQ(number_channel_send(channel, item, ANYSYNC_POLL), 0);
}

static int get(number_channel *channel)
{
    int item = -1;

    CHECK_EQ(number_channel_recv(channel, &item, ANYSYNC_POLL), 0);
    return item;
}

static void check_possible(void)
{
    number_channel *left = new_channel(1), *right = new_channel(1);
    int item = 0, sent = 5;
    size_t index = 9;
    struct anysync_choice choices[] = {
            number_channel_recvs(left, &item), number_channel_recvs(right, &item)};
    struct anysync_choice sends[] = {
            number_channel_sends(left, &sent), number_channel_recvs(right, &item)};

    CHECK_EQ(anysync_select(choices, 2, ANYSYNC_POLL, &index), -ETIMEDOUT);
    CHECK_EQ(anysync_select(choices, 2, anysync_in_ms(1), &index), -ETIMEDOUT);
    CHECK_EQ(index, 9);
    put(right, 3);
    CHECK_EQ(anysync_select(choices, 2, ANYSYNC_FOREVER, &index), 0);
    CHECK_EQ(index, 1);
    CHECK_EQ(item, 3);
    CHECK_EQ(anysync_select(sends, 2, ANYSYNC_FOREVER, &index), 0);
    CHECK_EQ(index, 0);
    CHECK_EQ(get(left), 5);
    CHECK_EQ(anysync_select(choices, 2, anysync_in_ms(1), &index), -ETIMEDOUT);
    put(left, 1); /* nothing of the one before is left in line */
    CHECK_EQ(get(left), 1);
    number_channel_unref(left);
    number_channel_unref(right);
}

TEST(what_is_possible_is_done)
{
    in_worlds((EVERYWHERE_AND_POOL) & ~(unsigned)FOREIGN, check_possible);
}

/* Its result: the item, or 100 and the index that it sent to. */
ANYSYNC_COROUTINE(int, take_either, (number_channel *, left), (number_channel *, right))
{
    int item = 0;
    size_t index;
    struct anysync_choice choices[] = {
            number_channel_recvs(left, &item), number_channel_recvs(right, &item)};
    int status = anysync_select(choices, 2, ANYSYNC_FOREVER, &index);

    *result = item;
    return status == ANYSYNC_DONE ? -EPIPE : status;
}

ANYSYNC_COROUTINE(
        int, give_either, (number_channel *, left), (number_channel *, right), (int, item))
{
    size_t index;
    struct anysync_choice choices[] = {
            number_channel_sends(left, &item), number_channel_sends(right, &item)};
    int status = anysync_select(choices, 2, ANYSYNC_FOREVER, &index);

    *result = 100 + (int)index;
    return status;
}

static void check_first(void)
{
    number_channel *left = new_channel(0), *right = new_channel(0);
    take_either_future takes;
    give_either_future gives;
    int item = 0;

    CHECK_EQ(take_either_start_on(NULL, &takes, left, right), 0);
    CHECK_EQ(number_channel_send(right, 7, ANYSYNC_FOREVER), 0);
    CHECK_EQ(take_either_wait(&takes, &item, ANYSYNC_FOREVER), 0);
    CHECK_EQ(item, 7);
    CHECK_EQ(number_channel_send(left, 8, ANYSYNC_POLL), -ETIMEDOUT); /* its other turn is gone */
    CHECK_EQ(give_either_start_on(NULL, &gives, left, right, 4), 0);
    CHECK_EQ(number_channel_recv(left, &item, ANYSYNC_FOREVER), 0);
    CHECK_EQ(item, 4);
    CHECK_EQ(give_either_wait(&gives, &item, ANYSYNC_FOREVER), 0);
    CHECK_EQ(item, 100);
    CHECK_EQ(number_channel_recv(right, &item, ANYSYNC_POLL), -ETIMEDOUT);
    take_either_drop(&takes);
    give_either_drop(&gives);
    number_channel_unref(left);
    number_channel_unref(right);
}

TEST(whoever_comes_first_is_served)
{
    in_worlds(PLAIN | WORKER | HERE | OWN | POOL, check_first);
}

static void check_turns(void)
{
    number_channel *each[3] = {new_channel(30), new_channel(30), new_channel(30)};
    int item = 0, seen[3] = {0};
    size_t index;
    struct anysync_choice choices[] = {number_channel_recvs(each[0], &item),
            number_channel_recvs(each[1], &item), number_channel_recvs(each[2], &item)};

    for (int i = 0; i < 30; i++) {
        for (int j = 0; j < 3; j++)
            put(each[j], i);
    }
    for (int i = 0; i < 30; i++) {
        CHECK_EQ(anysync_select(choices, 3, ANYSYNC_POLL, &index), 0);
        seen[index]++;
    }
    for (int j = 0; j < 3; j++) {
        CHECK_EQ(seen[j], 10);
        number_channel_unref(each[j]);
    }
}

TEST(ready_channels_take_turns)
{
    in_worlds(PLAIN | WORKER, check_turns);
}

static void check_meeting(void)
{
    number_channel *left = new_channel(0), *right = new_channel(0);
    take_either_future takes;
    give_either_future gives;
    int got = 0, to = 0;

    CHECK_EQ(take_either_start_on(NULL, &takes, left, right), 0);
    CHECK_EQ(give_either_start_on(NULL, &gives, right, left, 6), 0);
    CHECK_EQ(take_either_wait(&takes, &got, ANYSYNC_FOREVER), 0);
    CHECK_EQ(give_either_wait(&gives, &to, ANYSYNC_FOREVER), 0);
    CHECK_EQ(got, 6);
    CHECK(to == 100 || to == 101);
    take_either_drop(&takes);
    give_either_drop(&gives);
    number_channel_unref(left);
    number_channel_unref(right);
}

TEST(two_selects_meet)
{
    in_worlds(PLAIN | WORKER | HERE | OWN, check_meeting);
}

static void check_several(void)
{
    number_channel *channel = new_channel(0);
    int in = 0, out = 1;
    size_t index = 0;
    struct anysync_choice choices[] = {number_channel_sends(channel, &out),
            number_channel_recvs(channel, &in), number_channel_recvs(channel, &in)};
    number_channel *roomy = new_channel(1);

    CHECK_EQ(
            anysync_select(choices, 3, anysync_in_ms(1), &index), -ETIMEDOUT); /* not with itself */
    choices[0] = number_channel_sends(roomy, &out);
    choices[1] = number_channel_recvs(roomy, &in);
    choices[2].channel = NULL;
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(anysync_select(choices, 3, ANYSYNC_FOREVER, &index), 0);
        CHECK_EQ(index, (size_t)(i % 2));
    }
    number_channel_unref(channel);
    number_channel_unref(roomy);
}

TEST(a_channel_may_be_in_several_choices)
{
    in_worlds(PLAIN | WORKER, check_several);
}

ANYSYNC_COROUTINE(void, check_closed)
{
    number_channel *open = new_channel(0), *closed = new_channel(1);
    int item = 0, sent = 1;
    size_t index = 9;
    struct anysync_choice choices[] = {
            number_channel_recvs(closed, &item), number_channel_recvs(open, &item)};
    struct anysync_choice sends[] = {number_channel_sends(closed, &sent)};
    take_either_future waits;

    put(closed, 2);
    number_channel_close(closed);
    CHECK_EQ(anysync_select(choices, 2, ANYSYNC_FOREVER, &index), 0);
    CHECK_EQ(item, 2);
    CHECK_EQ(anysync_select(choices, 2, ANYSYNC_FOREVER, &index), ANYSYNC_DONE);
    CHECK_EQ(index, 0);
    CHECK_EQ(anysync_select(sends, 1, ANYSYNC_FOREVER, &index), -EPIPE);
    choices[0].channel = NULL;
    CHECK_EQ(anysync_select(choices, 2, anysync_in_ms(1), &index), -ETIMEDOUT);
    choices[1].channel = NULL;
    CHECK_EQ(anysync_select(choices, 2, ANYSYNC_FOREVER, &index), ANYSYNC_DONE);
    CHECK_EQ(index, 2);
    CHECK_EQ(anysync_select(NULL, 0, ANYSYNC_FOREVER, &index), ANYSYNC_DONE);
    CHECK_EQ(index, 0);
    number_channel *other = new_channel(0);
    CHECK_EQ(take_either_start(&waits, open, other), 0);
    CHECK_EQ(anysync_yield(), 0);
    number_channel_close(open);
    number_channel_close(other); /* only one of them tells */
    CHECK_EQ(take_either_wait(&waits, NULL, ANYSYNC_FOREVER), -EPIPE);
    take_either_drop(&waits);
    number_channel_unref(open);
    number_channel_unref(other);
    number_channel_unref(closed);
    return 0;
}

TEST(a_closed_channel_is_told)
{
    CHECK_EQ(check_closed_run(), 0);
}

ANYSYNC_COROUTINE(void, check_giving_up)
{
    number_channel *left = new_channel(0), *right = new_channel(0);
    take_either_future cut, served;
    int item = 0;

    CHECK_EQ(take_either_start(&cut, left, right), 0);
    CHECK_EQ(take_either_start(&served, left, right), 0);
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(take_either_cancel(&cut), 0);
    CHECK_EQ(take_either_wait(&cut, NULL, ANYSYNC_FOREVER), -ECANCELED);
    put(left, 3);
    CHECK_EQ(take_either_cancel(&served), 0); /* it has its item */
    CHECK_EQ(take_either_wait(&served, &item, ANYSYNC_FOREVER), 0);
    CHECK_EQ(item, 3);
    CHECK_EQ(number_channel_send(right, 1, ANYSYNC_POLL), -ETIMEDOUT);
    take_either_drop(&cut);
    take_either_drop(&served);
    number_channel_unref(left);
    number_channel_unref(right);
    return 0;
}

TEST(giving_up_loses_nothing)
{
    CHECK_EQ(check_giving_up_run(), 0);
}

/* --- refusals --------------------------------------------------------------------------------- */

static void in_callback(evutil_socket_t fd, short events, void *argument)
{
    number_channel *channel = new_channel(1);
    int item = 0;
    size_t index;
    struct anysync_choice choice = number_channel_recvs(channel, &item);

    (void)fd, (void)events;
    CHECK_EQ(anysync_select(&choice, 1, ANYSYNC_FOREVER, &index), -EDEADLK);
    CHECK_CONTAINS(anysync_last_error()->message, "anysync_select(): spawn");
    put(channel, 1);
    CHECK_EQ(anysync_select(&choice, 1, ANYSYNC_FOREVER, &index), 0);
    number_channel_unref(channel);
    set(argument, 0);
}

static void check_callback(void)
{
    call_back(in_callback);
}

TEST(a_callback_may_only_poll)
{
    CHECK_EQ(in_coroutine_run(check_callback), 0);
}

TEST(bad_choices_are_refused)
{
    number_channel *channel = new_channel(1);
    int item = 0;
    size_t index;
    struct anysync_choice choices[] = {
            number_channel_sends(channel, &item), number_channel_recvs(channel, NULL)};

    CHECK_EQ(anysync_select(choices, 2, ANYSYNC_FOREVER, &index), -EINVAL);
    CHECK_CONTAINS(anysync_last_error()->message, "choice 1");
    choices[0].receives = &item;
    CHECK_EQ(anysync_select(choices, 1, ANYSYNC_FOREVER, &index), -EINVAL);
    number_channel_unref(channel);
}

TEST(many_choices_need_memory)
{
    enum { MANY = 20 };
    number_channel *each[MANY];
    struct anysync_choice choices[MANY];
    int item = 0;
    size_t index;

    for (int i = 0; i < MANY; i++) {
        each[i] = new_channel(1);
        choices[MANY - 1 - i] = number_channel_recvs(each[i], &item);
    }
    put(each[4], 44);
    fault_fail("malloc", 1, false);
    CHECK_EQ(anysync_select(choices, MANY, ANYSYNC_FOREVER, &index), -ENOMEM);
    fault_clear();
    CHECK_EQ(anysync_select(choices, MANY, ANYSYNC_FOREVER, &index), 0);
    CHECK_EQ(index, MANY - 1 - 4);
    CHECK_EQ(item, 44);
    CHECK_EQ(anysync_select(choices, MANY, anysync_in_ms(1), &index), -ETIMEDOUT);
    for (int i = 0; i < MANY; i++)
        number_channel_unref(each[i]);
}

static int select_in_child(void *channel)
{
    int item;
    size_t index;
    struct anysync_choice choice = number_channel_recvs(channel, &item);

    CHECK_EQ(anysync_select(&choice, 1, ANYSYNC_POLL, &index), -EOWNERDEAD);
    return 0;
}

TEST(a_forked_child_is_refused)
{
    number_channel *channel = new_channel(1);
    struct test_child child = test_child(select_in_child, channel);

    CHECK(child.exited);
    CHECK_EQ(child.status, 0);
    free(child.errors);
    number_channel_unref(channel);
}

/* --- stress ----------------------------------------------------------------------------------- */

enum { WAYS = 3, USERS = 6 };

static struct {
    number_channel *ways[WAYS];
    long each;
    atomic_long sent, received, sum_sent, sum_received;
    bool both; /* each user sends and receives */
} traffic;

/* Send EACH items, to whichever has room; with `both`, receive as well until it has sent all. */
static int send_anywhere(int user)
{
    for (long i = 0; i < traffic.each;) {
        int out = (int)(user * traffic.each + i), in = 0;
        struct anysync_choice choices[2 * WAYS];
        size_t index;
        for (size_t j = 0; j < WAYS; j++) {
            choices[j] = number_channel_sends(traffic.ways[j], &out);
            choices[WAYS + j] = number_channel_recvs(traffic.ways[j], &in);
        }
        anysync_time deadline = i % 3 ? ANYSYNC_FOREVER : anysync_in_us(i % 40);
        int error = anysync_select(choices, traffic.both ? 2 * WAYS : WAYS, deadline, &index);
        if (error == -ETIMEDOUT)
            continue;
        if (error)
            return error;
        if (index < WAYS) {
            atomic_fetch_add(&traffic.sent, 1);
            atomic_fetch_add(&traffic.sum_sent, out);
            i++;
        } else {
            atomic_fetch_add(&traffic.received, 1);
            atomic_fetch_add(&traffic.sum_received, in);
        }
    }
    return 0;
}

/* Until all are closed. */
static int receive_anywhere(void)
{
    struct anysync_choice choices[WAYS];
    int item = 0;

    for (size_t j = 0; j < WAYS; j++)
        choices[j] = number_channel_recvs(traffic.ways[j], &item);
    for (;;) {
        size_t index;
        int status = anysync_select(choices, WAYS, ANYSYNC_FOREVER, &index);
        if (status == ANYSYNC_DONE && index == WAYS)
            return 0;
        if (status == ANYSYNC_DONE) {
            choices[index].channel = NULL;
        } else if (status) {
            return status;
        } else {
            atomic_fetch_add(&traffic.received, 1);
            atomic_fetch_add(&traffic.sum_received, item);
        }
    }
}

ANYSYNC_COROUTINE(void, send_body, (int, user))
{
    return send_anywhere(user);
}

ANYSYNC_COROUTINE(void, receive_body)
{
    return receive_anywhere();
}

static void send_on_thread(void *argument, int index)
{
    (void)argument;
    CHECK_EQ(index % 2 ? send_anywhere(index) : send_body_run(index), 0);
}

static void receive_on_thread(void *argument, int index)
{
    (void)argument;
    CHECK_EQ(index % 2 ? receive_anywhere() : receive_body_run_here(), 0);
}

static void let_flow(size_t capacity, bool both)
{
    atomic_store(&traffic.sent, 0);
    atomic_store(&traffic.received, 0);
    atomic_store(&traffic.sum_sent, 0);
    atomic_store(&traffic.sum_received, 0);
    traffic.each = test_scaled(1000);
    traffic.both = both;
    for (int j = 0; j < WAYS; j++)
        traffic.ways[j] = new_channel(capacity);
    struct test_threads *receivers = test_threads_start(2, receive_on_thread, NULL);
    test_together(USERS, send_on_thread, NULL);
    for (int j = 0; j < WAYS; j++)
        number_channel_close(traffic.ways[j]);
    test_threads_join(receivers);
    CHECK_EQ(atomic_load(&traffic.sent), USERS * traffic.each);
    CHECK_EQ(atomic_load(&traffic.received), USERS * traffic.each);
    CHECK_EQ(atomic_load(&traffic.sum_sent), atomic_load(&traffic.sum_received));
    for (int j = 0; j < WAYS; j++)
        number_channel_unref(traffic.ways[j]);
}

TEST(stress_every_item_goes_one_way)
{
    let_flow(0, false);
    let_flow(2, false);
}

TEST(stress_selects_among_themselves)
{
    let_flow(0, true);
    let_flow(2, true);
}
