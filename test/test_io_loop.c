/* SPDX-License-Identifier: MIT */
/*
 * Descriptors (include/anysync/io.h) beside others: tasks, callbacks, signals.
 *
 * Promised                                       Tested by
 *   -ECANCELED, nothing is lost                  a_cancelled_read_loses_nothing
 *   -EDEADLK in a callback                       a_callback_cannot_wait_for_a_descriptor
 *   EINTR never reaches the caller               a_signal_does_not_end_a_read
 *   readiness is seen while the loop is busy     a_busy_loop_still_sees_descriptors
 *                                                a_loop_of_slow_tasks_sees_descriptors_soon
 *   a coroutine suspends and its loop goes on    a_task_that_reads_lets_the_others_run
 *   reading and writing a descriptor at once     one_descriptor_is_read_and_written_at_once
 *   a loop's thread is never blocked, blocking   readers_of_one_blocking_pipe_never_block_the_loop
 *     descriptors or not                         writers_of_one_blocking_pipe_never_block_the_loop
 *                                                acceptors_of_one_blocking_socket_never_block_it
 *   events of the user's on the base             an_event_that_is_always_ready_lets_the_loop_go_on
 *   libevent without epoll                       the_loop_works_without_epoll
 *   many descriptors, readiness and deadlines    stress_a_deadline_never_loses_a_byte
 *                                                stress_many_pairs_play_ping_pong
 *
 * Each call by itself: test_io.c.  What else a cancel cuts: test_cancel.c.
 */
#include "futures.h"
#include "pairs.h"

#include <anysync/io.h>
#include <anysync/typed.h>

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

ANYSYNC_COROUTINE(ssize_t, reader, (int, fd))
{
    char byte;

    *result = anysync_read(fd, &byte, 1, ANYSYNC_FOREVER);
    return *result < 0 ? (int)*result : 0;
}

TEST(a_cancelled_read_loses_nothing)
{
    for (int kind = 0; kind < KINDS; kind++) {
        int pair[2];
        char got = 0;
        reader_future task;
        open_pair(kind, pair);
        CHECK_EQ(reader_start(&task, pair[0]), 0);
        CHECK_EQ(reader_cancel(&task), 0);
        CHECK_EQ(reader_wait(&task, NULL, ANYSYNC_FOREVER), -ECANCELED);
        CHECK_EQ(write(pair[1], "a", 1), 1);
        CHECK_EQ(anysync_read(pair[0], &got, 1, ANYSYNC_POLL), 1);
        CHECK_EQ(got, 'a');
        reader_drop(&task);
        close_pair(pair);
    }
}

static void read_in_callback(evutil_socket_t fd, short what, void *argument)
{
    int pair[2];
    char byte;

    (void)fd;
    (void)what;
    open_pair(SOCKET, pair);
    CHECK_EQ(anysync_wait_fd(pair[0], 1, ANYSYNC_FOREVER), -EDEADLK);
    CHECK_EQ(anysync_read(pair[0], &byte, 1, ANYSYNC_FOREVER), -EDEADLK);
    fill(pair[1]);
    CHECK_EQ(anysync_write(pair[1], "a", 1, ANYSYNC_FOREVER), -EDEADLK);
    CHECK_EQ(anysync_last_error()->code, -EDEADLK);
    close_pair(pair);
    CHECK_EQ(anysync_future_set(argument, NULL), 0);
}

ANYSYNC_COROUTINE(void, have_callback)
{
    call_back(read_in_callback);
    return 0;
}

TEST(a_callback_cannot_wait_for_a_descriptor)
{
    CHECK_EQ(have_callback_run_here(), 0);
    CHECK_EQ(have_callback_run(), 0);
}

/* --- signals ---------------------------------------------------------------------------------- */

struct shots {
    pthread_t victim;
    int fd;
};

static void do_nothing(int number)
{
    (void)number;
}

static void shoot_then_write(void *argument, int index)
{
    const struct shots *shots = argument;

    (void)index;
    for (int i = 0; i < 300; i++) {
        CHECK_EQ(pthread_kill(shots->victim, SIGUSR1), 0);
        sched_yield();
    }
    CHECK_EQ(write(shots->fd, "a", 1), 1);
}

static void read_under_fire(void)
{
    for (int kind = 0; kind < KINDS; kind++) {
        int pair[2];
        char got = 0;
        open_pair(kind, pair);
        struct shots shots = {pthread_self(), pair[1]};
        struct test_threads *threads = test_threads_start(1, shoot_then_write, &shots);
        CHECK_EQ(anysync_read(pair[0], &got, 1, ANYSYNC_FOREVER), 1);
        CHECK_EQ(got, 'a');
        test_threads_join(threads);
        close_pair(pair);
    }
}

TEST(a_signal_does_not_end_a_read)
{
    struct sigaction action = {.sa_handler = do_nothing}; /* no SA_RESTART: calls do fail */

    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    read_under_fire();
    CHECK_EQ(in_coroutine_run_here(read_under_fire), 0);
}

/* --- a loop with more to do ------------------------------------------------------------------- */

ANYSYNC_COROUTINE(long, busy, (bool *, stop))
{
    while (!*stop) {
        int error = anysync_yield();
        CHECK_EQ(error, 0);
        ++*result;
    }
    return 0;
}

static void write_one(void *argument, int index)
{
    const int *fd = argument;

    (void)index;
    CHECK_EQ(write(*fd, "a", 1), 1);
}

static void check_busy(void)
{
    for (int kind = 0; kind < KINDS; kind++) {
        bool stop = false;
        int pair[2];
        ssize_t count = 0;
        busy_future other;
        reader_future task;
        open_pair(kind, pair);
        CHECK_EQ(busy_start(&other, &stop), 0);
        CHECK_EQ(reader_start(&task, pair[0]), 0);
        CHECK_EQ(anysync_yield(), 0);
        struct test_threads *threads = test_threads_start(1, write_one, &pair[1]);
        CHECK_EQ(reader_wait(&task, &count, ANYSYNC_FOREVER), 0);
        CHECK_EQ(count, 1);
        stop = true;
        CHECK_EQ(busy_wait(&other, NULL, ANYSYNC_FOREVER), 0);
        test_threads_join(threads);
        busy_drop(&other);
        reader_drop(&task);
        close_pair(pair);
    }
}

TEST(a_busy_loop_still_sees_descriptors)
{
    CHECK_EQ(in_coroutine_run(check_busy), 0);
    CHECK_EQ(in_coroutine_run_here(check_busy), 0);
}

/* The byte that ends the read is written by a task of the same loop. */
static void check_others(void)
{
    for (int kind = 0; kind < KINDS; kind++) {
        int pair[2];
        ssize_t count = 0;
        reader_future task;
        open_pair(kind, pair);
        CHECK_EQ(reader_start(&task, pair[0]), 0);
        CHECK_EQ(reader_wait(&task, NULL, anysync_in_us(100)), -ETIMEDOUT);
        CHECK_EQ(anysync_write(pair[1], "a", 1, ANYSYNC_FOREVER), 1);
        CHECK_EQ(reader_wait(&task, &count, ANYSYNC_FOREVER), 0);
        CHECK_EQ(count, 1);
        reader_drop(&task);
        close_pair(pair);
    }
}

TEST(a_task_that_reads_lets_the_others_run)
{
    CHECK_EQ(in_coroutine_run(check_others), 0);
    CHECK_EQ(in_coroutine_run_here(check_others), 0);
}

ANYSYNC_COROUTINE(void, burn, (const bool *, stop), (long *, turns))
{
    while (!*stop) {
        int64_t end = test_now_ns() + 100 * 1000;
        while (test_now_ns() < end)
            ;
        ++*turns;
        CHECK_EQ(anysync_yield(), 0);
    }
    return 0;
}

/* Tasks that take long: the loop finds out, and does not let hundreds of them pass. */
static void check_slow(void)
{
    enum { WARM_UP = 600, MOST = 60 };
    burn_future other;
    reader_future task;
    bool stop = false;
    long turns = 0;
    int pair[2];

    open_pair(SOCKET, pair);
    CHECK_EQ(reader_start(&task, pair[0]), 0);
    CHECK_EQ(burn_start(&other, &stop, &turns), 0);
    while (turns < WARM_UP)
        CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(write(pair[1], "a", 1), 1);
    for (turns = 0; !anysync_future_done(task.future);)
        CHECK_EQ(anysync_yield(), 0);
    CHECK_GE(MOST, turns);
    stop = true;
    CHECK_EQ(burn_wait(&other, ANYSYNC_FOREVER), 0);
    CHECK_EQ(reader_wait(&task, NULL, ANYSYNC_FOREVER), 0);
    burn_drop(&other);
    reader_drop(&task);
    close_pair(pair);
}

TEST(a_loop_of_slow_tasks_sees_descriptors_soon)
{
    CHECK_EQ(in_coroutine_run(check_slow), 0);
    CHECK_EQ(in_coroutine_run_here(check_slow), 0);
}

ANYSYNC_COROUTINE(ssize_t, writer, (int, fd))
{
    *result = anysync_write(fd, "b", 1, ANYSYNC_FOREVER);
    return *result < 0 ? (int)*result : 0;
}

static void empty(int fd)
{
    char buffer[4096];
    int flags = fcntl(fd, F_GETFL);

    CHECK_EQ(fcntl(fd, F_SETFL, flags | O_NONBLOCK), 0);
    while (read(fd, buffer, sizeof(buffer)) > 0)
        ;
    CHECK_EQ(fcntl(fd, F_SETFL, flags), 0);
}

static void check_both_ways(void)
{
    int pair[2];
    reader_future in;
    writer_future out;

    open_pair(SOCKET, pair);
    fill(pair[0]);
    CHECK_EQ(reader_start(&in, pair[0]), 0);
    CHECK_EQ(writer_start(&out, pair[0]), 0);
    CHECK_EQ(reader_wait(&in, NULL, anysync_in_us(100)), -ETIMEDOUT);
    CHECK_EQ(write(pair[1], "a", 1), 1);
    CHECK_EQ(reader_wait(&in, NULL, ANYSYNC_FOREVER), 0);
    CHECK(!anysync_future_done(out.future));
    empty(pair[1]);
    CHECK_EQ(writer_wait(&out, NULL, ANYSYNC_FOREVER), 0);
    reader_drop(&in);
    writer_drop(&out);
    close_pair(pair);
}

TEST(one_descriptor_is_read_and_written_at_once)
{
    CHECK_EQ(in_coroutine_run(check_both_ways), 0);
    CHECK_EQ(in_coroutine_run_here(check_both_ways), 0);
}

enum { FEW = 4 };

/* Give all who are awake their turn. */
static void let_go_on(struct anysync_future *one_of_them)
{
    int error = anysync_future_wait(one_of_them, anysync_in_us(100));

    CHECK(error == 0 || error == -ETIMEDOUT);
}

/* One byte wakes them all and is for one.  The others must not block the loop: this task writes
 * the next. */
static void check_shared_read(void)
{
    for (int kind = 0; kind < KINDS; kind++) {
        int pair[2];
        reader_future tasks[FEW];
        open_pair(kind, pair);
        for (int i = 0; i < FEW; i++)
            CHECK_EQ(reader_start(&tasks[i], pair[0]), 0);
        for (int i = 0; i < FEW; i++) {
            let_go_on(tasks[FEW - 1].future);
            CHECK_EQ(write(pair[1], "a", 1), 1);
        }
        for (int i = 0; i < FEW; i++) {
            CHECK_EQ(reader_wait(&tasks[i], NULL, ANYSYNC_FOREVER), 0);
            reader_drop(&tasks[i]);
        }
        close_pair(pair);
    }
}

TEST(readers_of_one_blocking_pipe_never_block_the_loop)
{
    CHECK_EQ(in_coroutine_run(check_shared_read), 0);
    CHECK_EQ(in_coroutine_run_here(check_shared_read), 0);
}

ANYSYNC_COROUTINE(ssize_t, page_writer, (int, fd))
{
    static const char page[PIPE_BUF];

    *result = anysync_write(fd, page, sizeof(page), ANYSYNC_FOREVER);
    return *result < 0 ? (int)*result : 0;
}

/* Room for one page wakes them all. */
static void check_shared_write(void)
{
    static char page[PIPE_BUF];
    page_writer_future tasks[FEW];
    int pair[2];

    open_pair(PIPE, pair);
    fill(pair[1]);
    for (int i = 0; i < FEW; i++)
        CHECK_EQ(page_writer_start(&tasks[i], pair[1]), 0);
    for (int i = 0; i < FEW; i++) {
        let_go_on(tasks[FEW - 1].future);
        CHECK_EQ(read(pair[0], page, sizeof(page)), sizeof(page));
    }
    for (int i = 0; i < FEW; i++) {
        CHECK_EQ(page_writer_wait(&tasks[i], NULL, ANYSYNC_FOREVER), 0);
        page_writer_drop(&tasks[i]);
    }
    close_pair(pair);
}

TEST(writers_of_one_blocking_pipe_never_block_the_loop)
{
    CHECK_EQ(in_coroutine_run(check_shared_write), 0);
    CHECK_EQ(in_coroutine_run_here(check_shared_write), 0);
}

ANYSYNC_COROUTINE(int, acceptor, (int, fd))
{
    *result = anysync_accept(fd, NULL, NULL, ANYSYNC_FOREVER);
    return *result < 0 ? *result : 0;
}

static void check_shared_accept(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0), visitors[FEW];
    acceptor_future tasks[FEW];

    CHECK_EQ(bind(listener, (struct sockaddr *)&address, size), 0);
    CHECK_EQ(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    CHECK_EQ(listen(listener, FEW), 0);
    for (int i = 0; i < FEW; i++)
        CHECK_EQ(acceptor_start(&tasks[i], listener), 0);
    for (int i = 0; i < FEW; i++) {
        let_go_on(tasks[FEW - 1].future);
        visitors[i] = socket(AF_INET, SOCK_STREAM, 0);
        CHECK_EQ(anysync_connect(visitors[i], (struct sockaddr *)&address, size, ANYSYNC_FOREVER),
                0);
    }
    for (int i = 0; i < FEW; i++) {
        int fd = -1;
        CHECK_EQ(acceptor_wait(&tasks[i], &fd, ANYSYNC_FOREVER), 0);
        acceptor_drop(&tasks[i]);
        close(fd);
        close(visitors[i]);
    }
    close(listener);
}

TEST(acceptors_of_one_blocking_socket_never_block_it)
{
    CHECK_EQ(in_coroutine_run(check_shared_accept), 0);
    CHECK_EQ(in_coroutine_run_here(check_shared_accept), 0);
}

/* --- stress ----------------------------------------------------------------------------------- */

struct stream {
    int pair[2];
    long bytes;
};

static void trickle(void *argument, int index)
{
    const struct stream *stream = argument;

    (void)index;
    for (long i = 0; i < stream->bytes; i++) {
        char byte = (char)(i % 100);
        CHECK_EQ(anysync_write(stream->pair[1], &byte, 1, ANYSYNC_FOREVER), 1);
        if (i % 3 == 0)
            sched_yield();
    }
}

ANYSYNC_COROUTINE(void, sip, (struct stream *, stream))
{
    for (long i = 0; i < stream->bytes;) {
        char byte = 127;
        ssize_t count = anysync_read(stream->pair[0], &byte, 1, anysync_in_us(i % 20));
        CHECK(count == 1 || count == -ETIMEDOUT);
        CHECK_EQ(byte, count == 1 ? (char)(i % 100) : 127);
        i += count == 1;
    }
    return 0;
}

TEST(stress_a_deadline_never_loses_a_byte)
{
    for (int kind = 0; kind < KINDS; kind++) {
        struct stream stream = {.bytes = test_scaled(2000)};
        open_pair(kind, stream.pair);
        struct test_threads *threads = test_threads_start(1, trickle, &stream);
        CHECK_EQ(kind % 2 ? sip_run(&stream) : sip_run_here(&stream), 0);
        test_threads_join(threads);
        close_pair(stream.pair);
    }
}

enum { PAIRS = 50 };

/* Player 0 begins; each sends back what it got, one more. */
ANYSYNC_COROUTINE(void, player, (int, fd), (int, side), (long, rounds))
{
    unsigned char byte = 0;

    if (side == 0)
        CHECK_EQ(anysync_write(fd, &byte, 1, ANYSYNC_FOREVER), 1);
    for (long i = 0; i < rounds; i++) {
        CHECK_EQ(anysync_read(fd, &byte, 1, ANYSYNC_FOREVER), 1);
        CHECK_EQ(byte, (2 * i + (side == 0)) % 256);
        byte++;
        if (side == 1 || i + 1 < rounds)
            CHECK_EQ(anysync_write(fd, &byte, 1, ANYSYNC_FOREVER), 1);
    }
    return 0;
}

ANYSYNC_COROUTINE(void, tournament, (long, rounds))
{
    int pairs[PAIRS][2];
    player_future players[PAIRS][2];

    for (int i = 0; i < PAIRS; i++) {
        open_pair(i % 2 ? SOCKET : SOCKET_NONBLOCKING, pairs[i]);
        for (int side = 0; side < 2; side++)
            CHECK_EQ(player_start(&players[i][side], pairs[i][side], side, rounds), 0);
    }
    for (int i = 0; i < PAIRS; i++) {
        for (int side = 0; side < 2; side++) {
            CHECK_EQ(player_wait(&players[i][side], ANYSYNC_FOREVER), 0);
            player_drop(&players[i][side]);
        }
        close_pair(pairs[i]);
    }
    return 0;
}

TEST(stress_many_pairs_play_ping_pong)
{
    CHECK_EQ(tournament_run(test_scaled(100)), 0);
    CHECK_EQ(tournament_run_here(test_scaled(100)), 0);
}

/* --- the base --------------------------------------------------------------------------------- */

static void pass_on(evutil_socket_t fd, short what, void *argument)
{
    const int *pair = argument;
    char byte;

    (void)what;
    CHECK_EQ(read(fd, &byte, 1), 1);
    CHECK_EQ(write(pair[1], &byte, 1), 1);
}

/* An event of the user's that is ready in each pass of libevent. */
ANYSYNC_COROUTINE(void, sleep_beside_busy_event)
{
    int pair[2], error = 0;

    CHECK_EQ(pipe(pair), 0);
    CHECK_EQ(write(pair[1], "xx", 2), 2);
    struct event *event =
            event_new(anysync_event_base(), pair[0], EV_READ | EV_PERSIST, pass_on, pair);
    CHECK(event != NULL);
    CHECK_EQ(event_add(event, NULL), 0);
    for (int i = 0; i < 5 && !error; i++)
        error = anysync_sleep(anysync_in_ms(1));
    event_free(event);
    close_pair(pair);
    return error;
}

TEST(an_event_that_is_always_ready_lets_the_loop_go_on)
{
    CHECK_EQ(sleep_beside_busy_event_run(), 0);
    CHECK_EQ(sleep_beside_busy_event_run_here(), 0);
}

ANYSYNC_COROUTINE(void, wait_in_vain, (int, fd))
{
    int ready = anysync_wait_fd(fd, ANYSYNC_READABLE, anysync_in_ms(20));

    CHECK_EQ(ready, -ETIMEDOUT);
    return 0;
}

ANYSYNC_COROUTINE(void, rest)
{
    return anysync_sleep(anysync_in_ms(1));
}

/* libevent can be told to do without epoll; then it cannot see edges. */
TEST(the_loop_works_without_epoll)
{
    ANYSYNC_SCOPED_FUTURE(wait_in_vain, waiting);
    const struct anysync_executor_options options = {.spin = ANYSYNC_SPIN_NEVER};
    struct anysync_stats stats;
    int pair[2];

    if (TEST_MSAN)
        test_skip("it does not know what libevent writes, and looks at what that gives to poll()");
    CHECK_EQ(anysync_configure(&options), 0); /* so that each call rings */
    CHECK_EQ(setenv("EVENT_NOEPOLL", "1", 1), 0);
    CHECK_EQ(pipe(pair), 0);
    CHECK_EQ(wait_in_vain_start(&waiting, pair[0]), 0);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(rest_run(), 0); /* rings the bell, and the clock's */
    CHECK_EQ(wait_in_vain_wait(&waiting, ANYSYNC_FOREVER), 0);
    anysync_executor_stats(NULL, &stats);
    CHECK_GE(500, stats.polls);
    CHECK_GE(500, stats.sleeps); /* what woke it once does not wake it again */
    close_pair(pair);
}
