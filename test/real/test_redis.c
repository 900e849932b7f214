/* SPDX-License-Identifier: MIT */
/*
 * The Redis client (docs/examples/clients/redis.h), with a real server.
 *
 * Packages: hiredis
 * With: docs/examples/clients/redis.c docs/examples/clients/redis_link.c
 * With: docs/examples/clients/redis_batch.c docs/examples/clients/redis_blocks.c
 *
 * Promised                                       Tested by
 *   commands in every world, each its own reply  a_command_..., one_connection_serves_...
 *   a reply may be left                          replies_that_nobody_asks_for_...
 *   a batch, as a whole and reply by reply       a_batch_...
 *   late replies go nowhere                      a_late_reply_..., a_cancelled_command_...
 *   absent, killed, silent, garbage              an_absent_, a_killed_, a_silent_, garbage_...
 *                                                what_cannot_be_sent_says_so
 *   ends: close, its executor's                  close_..., the_end_of_...
 *   nothing is left                              each: done() counts descriptors; leak checkers
 */
/* First, for it has parameters of the same name as what comes next. */
#include "redis_inside.h"

#include "redis_here.h"

#include <sys/socket.h>

/* --- commands --------------------------------------------------------------------------------- */

static void check_commands(void)
{
    const char *argv[] = {"SET", "argv", "a b\0c"};
    const size_t sizes[] = {3, 4, 5};
    redisReply *reply = NULL;

    CHECK_EQ(redis_command(redis, NULL, SOON, "SET %s %d", "number", 41), 0);
    CHECK_EQ(redis_command(redis, &reply, SOON, "INCR number"), 0);
    CHECK_EQ(reply->integer, 42);
    freeReplyObject(reply);
    CHECK_EQ(redis_command_argv(redis, NULL, SOON, 3, argv, sizes), 0);
    CHECK_EQ(redis_command(redis, &reply, SOON, "GET argv"), 0);
    CHECK_EQ(reply->len, 5);
    CHECK_EQ(memcmp(reply->str, "a b\0c", 5), 0);
    freeReplyObject(reply);
    CHECK_EQ(redis_command(redis, NULL, SOON, "SET word %s", "some text"), 0);
    CHECK_EQ(redis_command(redis, NULL, SOON, "INCR word"), -EREMOTEIO);
    says(-EREMOTEIO, "INCR: ERR value is not an integer");
    CHECK_EQ(redis_command(redis, NULL, SOON, "SET %y"), -EINVAL);
    CHECK_EQ(redis_command(redis, NULL, SOON, "subscribe news"), -EINVAL);
    says(-EINVAL, "redis_messages()");
    check_text(redis, "word", "some text");
}

/* Each kind of reply, dropped, between two that are not. */
static void check_dropped(void)
{
    static const char *const commands[] = {"SET a 1", "INCR a", "GET nothing", "GET a",
            "LRANGE nothing 0 -1", "CONFIG GET port",
            "EVAL return{1,{2,redis.error_reply('ERR')},'c'} 0"};

    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        CHECK_EQ(redis_command(redis, NULL, SOON, "SET before b"), 0);
        check_text(redis, "before", "b");
        CHECK_EQ(redis_command(redis, NULL, SOON, commands[i]), 0);
        check_text(redis, "before", "b");
        CHECK_EQ(redis_command(redis, NULL, SOON, "LPUSH before x"), -EREMOTEIO);
        says(-EREMOTEIO, "LPUSH: WRONGTYPE");
    }
}

TEST(replies_that_nobody_asks_for_are_not_mixed_up)
{
    begin_connected();
    in_worlds(EVERYWHERE_AND_POOL & ~(unsigned)(NESTED | FOREIGN), check_dropped);
    done();
}

TEST(a_command_gets_its_reply_in_every_world)
{
    begin_connected();
    in_worlds(EVERYWHERE_AND_POOL & ~(unsigned)(NESTED | FOREIGN), check_commands);
    done();
}

static void callback(evutil_socket_t fd, short events, void *argument)
{
    (void)fd, (void)events;
    CHECK_EQ(redis_command(redis, NULL, SOON, "PING"), -EDEADLK);
    set(argument, 1);
}

ANYSYNC_COROUTINE(void, call_a_callback)
{
    call_back(callback);
    return 0;
}

TEST(a_command_in_a_callback_of_a_loop_is_refused)
{
    begin_connected();
    CHECK_EQ(call_a_callback_run(), 0);
    done();
}

ANYSYNC_COROUTINE(void, echo_many, (int, self), (int, rounds))
{
    for (int i = 0; i < rounds; i++) {
        redisReply *reply = NULL;
        CHECK_EQ(redis_command(redis, &reply, SOON, "ECHO %d", self * 1000 + i), 0);
        CHECK_EQ(atoi(reply->str), self * 1000 + i);
        freeReplyObject(reply);
    }
    return 0;
}

ANYSYNC_COROUTINE(void, echo_together)
{
    int error = 0;

    ANYSYNC_GROUP(group, &error)
    {
        for (int i = 0; i < 100 && !error; i++)
            error = echo_many_spawn(group, NULL, i, 20);
    }
    return error;
}

static void one_thread(void *argument, int index)
{
    (void)argument;
    if (index % 2)
        CHECK_EQ(echo_together_run_here(), 0);
    else
        for (int i = 0; i < 100; i++)
            CHECK_EQ(echo_many_asi_body(NULL, index, 1), 0);
}

TEST(one_connection_serves_many_coroutines_loops_and_threads)
{
    begin_connected();
    CHECK_EQ(echo_together_run(), 0);
    test_together(6, one_thread, NULL);
    done();
}

static struct anysync_executor *new_executor(void)
{
    struct anysync_executor *executor = NULL;

    redis_close(redis);
    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    where.executor = executor;
    redis = connect_to(&where);
    CHECK_EQ(stats_of(executor).live, 1);
    return executor;
}

static void drain(struct anysync_executor *executor)
{
    redis_close(redis);
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    anysync_executor_unref(executor);
    redis = NULL;
}

TEST(a_connection_lives_on_the_executor_it_is_given)
{
    begin_connected();
    drain(new_executor());
    descriptors = test_fd_count(); /* a loop keeps its own for the next one */
    struct anysync_executor *executor = new_executor();
    in_every_world(check_commands);
    CHECK_EQ(echo_together_run_on(executor), 0);
    drain(executor);
    done();
}

TEST(a_name_is_resolved_and_each_address_tried)
{
    begin();
    where.host = "localhost";
    redis_close(connect_to(&where));
    where.host = "no.such.host.invalid";
    CHECK(redis_connect(&where, &redis, SOON) < 0);
    CHECK_CONTAINS(anysync_last_error()->message, "no.such.host.invalid");
    server_stop(&server);
}

static void check_password(void)
{
    struct redis_options with = where;
    struct redis *connection = NULL;

    with.password = "wrong";
    CHECK_EQ(redis_connect(&with, &connection, SOON), -EACCES);
    says(-EACCES, "AUTH");
    with.password = "open sesame";
    connection = connect_to(&with);
    sync_with(connection);
    redis_close(connection);
    connection = connect_to(&where);
    CHECK_EQ(redis_command(connection, NULL, SOON, "PING"), -EREMOTEIO);
    says(-EREMOTEIO, "NOAUTH");
    redis_close(connection);
}

TEST(a_password_is_asked_for)
{
    begin_connected();
    CHECK_EQ(redis_command(redis, NULL, SOON, "CONFIG SET requirepass %s", "open sesame"), 0);
    in_every_world(check_password);
    done();
}

/* --- batches ---------------------------------------------------------------------------------- */

static void check_batch(void)
{
    struct redis_batch *batch = new_batch();
    redisReply *reply = NULL;

    for (int i = 0; i < MANY; i++)
        CHECK_EQ(i == 500 ? redis_batch_add(batch, "NOSUCH") : redis_batch_add(batch, "ECHO %d", i),
                0);
    CHECK_EQ(redis_batch_count(batch), MANY);
    CHECK_EQ(redis_batch_wait(batch, SOON), 0);
    for (int i = MANY - 1; i >= 0; i--) {
        CHECK_EQ(redis_batch_reply(batch, (size_t)i, &reply, ANYSYNC_POLL),
                i == 500 ? -EREMOTEIO : 0);
        if (i != 500)
            CHECK_EQ(atoi(reply->str), i);
    }
    CHECK_EQ(redis_batch_add(batch, "PING"), -EALREADY);
    CHECK_EQ(redis_batch_send(batch, SOON), -EALREADY);
    CHECK_EQ(redis_batch_reply(batch, MANY, &reply, SOON), -EINVAL);
    redis_batch_unref(batch);
}

static void check_one_by_one(void)
{
    struct redis_batch *batch = new_batch(), *empty = new_batch();
    redisReply *reply = NULL;

    CHECK_EQ(redis_batch_wait(empty, SOON), 0);
    redis_batch_unref(empty);
    for (int i = 0; i < 50; i++)
        CHECK_EQ(redis_batch_add(batch, "ECHO %d", i), 0);
    CHECK_EQ(redis_batch_send(batch, SOON), 0);
    for (int i = 0; i < 50; i++) {
        CHECK_EQ(redis_batch_reply(batch, (size_t)i, &reply, SOON), 0);
        CHECK_EQ(atoi(reply->str), i);
    }
    redis_batch_unref(batch);
}

static void check_forgotten(void)
{
    struct redis_batch *batch = new_batch();

    CHECK_EQ(redis_batch_add(batch, "INCR forgotten"), 0);
    redis_batch_unref(batch); /* not sent */
    batch = new_batch();
    CHECK_EQ(redis_batch_add(batch, "SET forgotten 1"), 0);
    CHECK_EQ(redis_batch_add(batch, "ECHO x"), 0);
    CHECK_EQ(redis_batch_send(batch, SOON), 0);
    redis_batch_unref(batch);
    check_text(redis, "forgotten", "1");
}

TEST(a_batch_has_each_reply_in_its_place)
{
    begin_connected();
    in_every_world(check_batch);
    done();
}

TEST(a_batch_is_waited_for_reply_by_reply)
{
    begin_connected();
    in_every_world(check_one_by_one);
    done();
}

TEST(a_batch_that_is_dropped_is_done_and_harms_nobody)
{
    begin_connected();
    in_every_world(check_forgotten);
    done();
}

static void check_again(void)
{
    struct redis_batch *batch = new_batch();
    redisReply *reply = NULL;

    CHECK_EQ(redis_batch_add(batch, "ECHO a"), 0);
    CHECK_EQ(redis_batch_add(batch, "ECHO b"), 0);
    server_pause(&server);
    CHECK_EQ(redis_batch_wait(batch, TOO_SOON), -ETIMEDOUT);
    says(-ETIMEDOUT, "ECHO");
    CHECK_EQ(redis_batch_reply(batch, 1, &reply, TOO_SOON), -ETIMEDOUT);
    server_go_on(&server);
    CHECK_EQ(redis_batch_wait(batch, SOON), 0);
    CHECK_EQ(redis_batch_reply(batch, 1, &reply, SOON), 0);
    CHECK_STR(reply->str, "b");
    redis_batch_unref(batch);
}

TEST(a_batch_that_timed_out_can_be_waited_for_again)
{
    begin_connected();
    in_every_world(check_again);
    done();
}

/* --- late, cancelled -------------------------------------------------------------------------- */

static void check_late(void)
{
    redisReply *reply = NULL;

    server_pause(&server);
    CHECK_EQ(redis_command(redis, &reply, TOO_SOON, "ECHO late"), -ETIMEDOUT);
    says(-ETIMEDOUT, "ECHO: no reply before the deadline");
    CHECK(reply == NULL);
    server_go_on(&server);
    CHECK_EQ(redis_command(redis, &reply, SOON, "ECHO mine"), 0);
    CHECK_STR(reply->str, "mine");
    freeReplyObject(reply);
}

TEST(a_late_reply_goes_nowhere)
{
    begin_connected();
    in_every_world(check_late);
    done();
}

ANYSYNC_COROUTINE(void, wait_for_nothing)
{
    redisReply *reply = NULL;

    open_gate(underway);
    int error = redis_command(redis, &reply, ANYSYNC_FOREVER, "BLPOP nothing 0");
    CHECK_EQ(error, -ECANCELED);
    CHECK(reply == NULL);
    return error;
}

static void check_cancelled(void)
{
    wait_for_nothing_future waits;

    underway = new_gate();
    CHECK_EQ(wait_for_nothing_start(&waits), 0);
    pass_gate(underway);
    CHECK_EQ(wait_for_nothing_cancel(&waits), 0);
    CHECK_EQ(wait_for_nothing_wait(&waits, ANYSYNC_FOREVER), -ECANCELED);
    wait_for_nothing_drop(&waits);
    anysync_future_unref(underway);
    /* BLPOP may be there still, or was never sent: another connection gives it something. */
    struct redis *other = connect_to(&where);
    CHECK_EQ(redis_command(other, NULL, SOON, "RPUSH nothing x"), 0);
    redis_close(other);
    check_commands();
    CHECK_EQ(redis_command(redis, NULL, SOON, "DEL nothing"), 0);
}

TEST(a_cancelled_command_leaves_the_connection_as_it_was)
{
    begin_connected();
    in_every_world(check_cancelled);
    done();
}

static void check_scope(void)
{
    int error = 0;

    server_pause(&server);
    ANYSYNC_SCOPE(&error, TOO_SOON)
    {
        error = redis_command(redis, NULL, ANYSYNC_FOREVER, "PING");
    }
    CHECK_EQ(error, -ETIMEDOUT);
    server_go_on(&server);
    sync_with(redis);
}

TEST(a_scope_around_a_command_ends_it)
{
    begin_connected();
    in_every_world(check_scope);
    done();
}

/* --- servers that are not as they should be --------------------------------------------------- */

static void check_absent(void)
{
    struct redis *connection = NULL;

    CHECK_EQ(redis_connect(&where, &connection, SOON), -ECONNREFUSED);
    says(-ECONNREFUSED, "connect: Connection refused");
    CHECK(connection == NULL);
}

TEST(an_absent_server_is_named)
{
    begin_connected();
    done();
    in_every_world(check_absent);
    CHECK_EQ(test_fd_count(), descriptors);
}

static void check_killed(void)
{
    struct redis_batch *batch = new_batch();
    redisReply *reply = NULL;

    server_pause(&server);
    CHECK_EQ(redis_batch_add(batch, "PING"), 0);
    CHECK_EQ(redis_batch_add(batch, "GET x"), 0);
    CHECK_EQ(redis_batch_send(batch, SOON), 0);
    server_kill(&server);
    CHECK_EQ(redis_batch_wait(batch, SOON), -ECONNRESET);
    says(-ECONNRESET, "GET: ");
    CHECK_EQ(redis_batch_reply(batch, 0, &reply, SOON), -ECONNRESET);
    says(-ECONNRESET, "PING: ");
    redis_batch_unref(batch);
    CHECK_EQ(redis_command(redis, NULL, SOON, "INCR y"), -ECONNRESET);
    says(-ECONNRESET, "INCR: ");
    redis_close(redis);
    redis_server_start(&server, server.port, false);
    redis = connect_to(&where);
    check_commands();
}

TEST(a_killed_server_ends_what_is_under_way_and_a_new_connection_works)
{
    begin_connected();
    in_every_world(check_killed);
    done();
}

/* So much at once is sent where the command is given, not by the loop, which would hear first that
 * the server closes, too. */
ANYSYNC_COROUTINE(void, send_to_nowhere)
{
    struct redis *connection = connect_to(&where);
    struct redis_batch *batch = NULL;

    CHECK_EQ(redis_batch_new(connection, &batch), 0);
    for (int i = 0; i < 100; i++)
        CHECK_EQ(redis_batch_add(batch, "SET key:%d %s", i, "value"), 0);
    CHECK_EQ(shutdown(connection->link.context->c.fd, SHUT_WR), 0);
    CHECK_EQ(redis_batch_wait(batch, SOON), -EPIPE);
    says(-EPIPE, "SET: Broken pipe");
    redis_batch_unref(batch);
    CHECK_EQ(redis_command(connection, NULL, SOON, "PING"), -EPIPE);
    says(-EPIPE, "PING: Broken pipe");
    redis_close(connection);
    return 0;
}

TEST(what_cannot_be_sent_says_so)
{
    begin_connected();
    CHECK_EQ(send_to_nowhere_run(), 0);
    check_commands();
    done();
}

static void check_silent(void)
{
    struct redis_options with = {.port = server.port, .password = "x"};
    struct redis *connection = connect_to(&where);

    CHECK_EQ(redis_command(connection, NULL, TOO_SOON, "PING"), -ETIMEDOUT);
    says(-ETIMEDOUT, "PING");
    redis_close(connection);
    CHECK_EQ(redis_connect(&with, &connection, TOO_SOON), -ETIMEDOUT);
    says(-ETIMEDOUT, "AUTH: no answer in time");
}

TEST(a_silent_server_is_waited_for_until_the_deadline)
{
    begin_connected();
    done();
    server_pretend(&server, server.port, "", 0, false);
    in_every_world(check_silent);
    CHECK_EQ(test_fd_count(), descriptors);
    server_kill(&server);
}

/* Whatever was said at once may be seen before or after the command was sent. */
static void talk_to(const char *text, size_t size, bool closes)
{
    struct redis *connection = NULL;

    server_pretend(&server, server.port, text, size, closes);
    int error = redis_connect(&where, &connection, SOON);
    if (!error) {
        error = redis_command(connection, NULL, SOON, "PING");
        if (!error) /* it took that for an answer; nobody asked for a second */
            error = redis_command(connection, NULL, closes ? SOON : TOO_SOON, "PING");
        redis_close(connection);
    }
    CHECK(error < 0);
    CHECK_CONTAINS(anysync_last_error()->message, peer);
    server_kill(&server);
}

static void check_garbage(void)
{
#define SAY(text) talk_to(text, sizeof(text) - 1, true), talk_to(text, sizeof(text) - 1, false)
    SAY("HTTP/1.1 400 Bad Request\r\n\r\n");
    SAY("+OK\r\n+OK\r\n+OK\r\n");
    SAY("-ERR max number of clients reached\r\n");
    SAY(":1\r\n$-1\r\n*-1\r\n");
    SAY("*2\r\n$1\r\na\r\n$1\r\nb\r\n*3\r\n:1\r\n:2\r\n:3\r\n:4\r\n");
    SAY("$99999999999999999999\r\n");
    SAY("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n");
    SAY("\0\xff\xff\xff\r\n\r\n");
    talk_to("", 0, true);
#undef SAY
}

TEST(garbage_ends_the_connection_with_a_sentence)
{
    begin_connected();
    done();
    in_every_world(check_garbage);
    CHECK_EQ(test_fd_count(), descriptors);
}

/* --- ends ------------------------------------------------------------------------------------- */

static struct anysync_future *sent;

ANYSYNC_COROUTINE(void, wait_to_be_closed, (int, code))
{
    struct redis_batch *batch = new_batch();

    CHECK_EQ(redis_batch_add(batch, "BLPOP nothing 0"), 0);
    CHECK_EQ(redis_batch_send(batch, SOON), 0);
    open_gate(sent);
    CHECK_EQ(redis_batch_wait(batch, ANYSYNC_FOREVER), code);
    redis_batch_unref(batch);
    return 0;
}

TEST(close_ends_what_is_under_way)
{
    wait_to_be_closed_future waits;

    begin_connected();
    sent = new_gate();
    CHECK_EQ(wait_to_be_closed_start(&waits, -EPIPE), 0);
    pass_gate(sent);
    redis_close(redis);
    CHECK_EQ(wait_to_be_closed_wait(&waits, ANYSYNC_FOREVER), 0);
    wait_to_be_closed_drop(&waits);
    anysync_future_unref(sent);
    redis = NULL;
    done();
}

TEST(the_end_of_its_executor_ends_a_connection)
{
    wait_to_be_closed_future waits;

    begin_connected();
    drain(new_executor());
    descriptors = test_fd_count();
    struct anysync_executor *executor = new_executor();
    sent = new_gate();
    CHECK_EQ(wait_to_be_closed_start(&waits, -ESHUTDOWN), 0);
    pass_gate(sent);
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_CANCEL, ANYSYNC_FOREVER, NULL), 0);
    CHECK_EQ(wait_to_be_closed_wait(&waits, ANYSYNC_FOREVER), 0);
    wait_to_be_closed_drop(&waits);
    anysync_future_unref(sent);
    CHECK_EQ(redis_command(redis, NULL, SOON, "PING"), -ESHUTDOWN);
    says(-ESHUTDOWN, "its executor has stopped");
    redis_close(redis);
    anysync_executor_unref(executor);
    redis = NULL;
    done();
}
