/* SPDX-License-Identifier: MIT */
/*
 * The job queue (docs/examples/clients/redis_jobs.h), with workers in processes of their own, which
 * are the example program docs/examples/jobs.c, and a real Redis.
 *
 * Packages: hiredis
 * With: docs/examples/clients/redis_jobs.c docs/examples/clients/redis.c
 * With: docs/examples/clients/redis_link.c
 * With: docs/examples/clients/redis_batch.c docs/examples/clients/redis_blocks.c
 *
 * Promised                                            Tested by
 *   results and failures come back, in every world     jobs_are_done_elsewhere_...
 *   a killed worker's jobs are done by another         the_jobs_of_a_killed_worker_...
 *     also behind many that are worked on              a_left_job_is_found_behind_many_...
 *   a worker keeps what it works on                   a_worker_renews_...
 *     and does not count as one more that had it       a_worker_that_stood_still_alone_...
 *   Redis may be killed and started again              redis_is_killed_...
 *     or refuse something for a while                 a_server_that_refuses_for_a_while_...
 *     also where many connect again at once           who_has_connected_has_a_connection
 *   a second completion is noticed                     a_worker_that_stood_still_...
 *   workers that are killed by a job again and again   a_job_that_no_worker_survives_...
 *   a job that could not be added                      a_queue_that_is_none_...
 *   ends                                               close_..., without_redis_...
 *     while its executor drains                       a_shutdown_that_drains_waits_for_the_close
 */
#include "futures.h"
#include "redis_jobs_inside.h"
#include "redis_server.h"
#include "worlds.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOON anysync_in_seconds(120)

static struct server server;
static struct jobs_options options;
static struct jobs *jobs;
static struct redis *redis; /* to look, and to push */

/* --- workers ---------------------------------------------------------------------------------- */

/* A worker that takes jobs from who shows no life for CLAIM_MS. */
static pid_t start_worker(const char *name, const char *claim_ms)
{
    const char *folder = getenv("EXAMPLES");
    char program[512], port[16];

    snprintf(program, sizeof(program), "%s/jobs", folder ? folder : "build/gcc/docs/examples");
    snprintf(port, sizeof(port), "%d", server.port);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execl(program, program, "work", port, "jobs", claim_ms, name, (char *)NULL);
        perror(program);
        _exit(127);
    }
    return pid;
}

static void end_worker(pid_t pid)
{
    int status = 0;

    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(WTERMSIG(status), SIGKILL); /* it had not ended by itself */
}

/* Wait until COUNT jobs are with the worker NAME. */
static void wait_until_has(const char *name, size_t count)
{
    for (size_t has = 0; has != count;) {
        redisReply *reply = NULL;

        if (redis_command(redis, &reply, SOON, "XPENDING jobs workers - + 1000 %s", name) == 0)
            has = reply->elements;
        freeReplyObject(reply);
        CHECK_EQ(anysync_sleep(anysync_in_ms(1)), 0);
    }
}

static void begin(bool keeps)
{
    redis_server_start(&server, server_free_port(), keeps);
    options.redis.port = server.port;
    CHECK_EQ(redis_connect(&options.redis, &redis, SOON), 0);
    CHECK_EQ(jobs_open(&options, &jobs, SOON), 0);
}

static void end(void)
{
    jobs_close(jobs);
    redis_close(redis);
    server_stop(&server);
}

static struct anysync_future *submit(const char *work, const char *data)
{
    struct anysync_future *future = NULL;

    CHECK_EQ(jobs_submit(jobs, work, data, &future, SOON), 0);
    return future;
}

static struct anysync_future *submit_square(int number)
{
    char data[16];

    snprintf(data, sizeof(data), "%d", number);
    return submit("square", data);
}

static struct job_result result_of(struct anysync_future *future)
{
    struct job_result result;

    CHECK_EQ(anysync_wait(future, &result, SOON), 0);
    anysync_future_unref(future);
    return result;
}

static void push(const char *list, int count)
{
    for (int i = 0; i < count; i++)
        CHECK_EQ(redis_command(redis, NULL, SOON, "RPUSH %s x", list), 0);
}

static void check_nothing_twice(void)
{
    struct job_result second;

    CHECK_EQ(jobs_twice(jobs, &second, ANYSYNC_POLL), -ETIMEDOUT);
}

/* --- tests ------------------------------------------------------------------------------------ */

static void check_jobs(void)
{
    struct anysync_future *futures[50], *bad = submit("square", "x"), *odd = submit("nonsense", "");
    char longer[JOB_SIZE + 1];

    for (int i = 0; i < 50; i++)
        futures[i] = submit_square(i);
    for (int i = 0; i < 50; i++) {
        struct job_result result = result_of(futures[i]);
        CHECK_EQ(result.code, 0);
        CHECK_EQ(atoi(result.text), i * i);
        CHECK_EQ(result.deliveries, 1);
        CHECK_STR(result.worker, "one");
    }
    struct job_result result = result_of(bad);
    CHECK_EQ(result.code, -EINVAL);
    CHECK_STR(result.text, "\"x\" is no number");
    result = result_of(odd);
    CHECK_EQ(result.code, -ENOSYS);
    CHECK_CONTAINS(result.text, "nonsense");
    memset(longer, 'x', sizeof(longer));
    longer[JOB_SIZE] = '\0';
    CHECK_EQ(jobs_submit(jobs, "square", longer, &bad, SOON), -EINVAL);
    check_nothing_twice();
}

TEST(jobs_are_done_elsewhere_and_their_results_come_back)
{
    begin(false);
    pid_t worker = start_worker("one", "60000");
    in_every_world(check_jobs);
    end_worker(worker);
    end();
}

TEST(the_jobs_of_a_killed_worker_are_done_by_another_and_say_so)
{
    struct anysync_future *futures[8];

    begin(false);
    pid_t first = start_worker("first", "300");
    for (int i = 0; i < 8; i++)
        futures[i] = submit("wait", "gate");
    wait_until_has("first", 8);
    end_worker(first);
    pid_t second = start_worker("second", "300");
    wait_until_has("second", 8);
    push("gate", 16); /* the dead one's waits may have taken some */
    for (int i = 0; i < 8; i++) {
        struct job_result result = result_of(futures[i]);
        CHECK_EQ(result.code, 0);
        CHECK_STR(result.worker, "second");
        CHECK_GE(result.deliveries, 2);
    }
    check_nothing_twice();
    end_worker(second);
    end();
}

/* Somebody has read jobs, as a worker does, and works on them from now on. */
static void read_as(const char *name, int count)
{
    redisReply *reply = NULL;

    CHECK_EQ(redis_command(redis, &reply, SOON,
                     "XREADGROUP GROUP workers %s COUNT %d STREAMS jobs >", name, count),
            0);
    CHECK_EQ(reply->element[0]->element[1]->elements, count);
    freeReplyObject(reply);
}

TEST(a_left_job_is_found_behind_many_that_are_worked_on)
{
    enum { WORKED_ON = 200 }; /* more than Redis looks at for a worker's 16 slots */
    redisReply *reply = NULL;
    struct job_result result;

    begin(false);
    CHECK_EQ(redis_command(redis, NULL, SOON, "XGROUP CREATE jobs workers 0 MKSTREAM"), 0);
    for (int i = 0; i < WORKED_ON; i++)
        anysync_future_unref(submit_square(i));
    struct anysync_future *left = submit_square(7);
    read_as("busy", WORKED_ON);
    read_as("gone", 1);
    CHECK_EQ(redis_command(redis, &reply, SOON, "XPENDING jobs workers - + 1 gone"), 0);
    CHECK_EQ(redis_command(redis, NULL, SOON, "XCLAIM jobs workers gone 0 %s IDLE 900000 JUSTID",
                     reply->element[0]->element[0]->str),
            0);
    freeReplyObject(reply);
    pid_t worker = start_worker("one", "600000");
    CHECK_EQ(anysync_wait(left, &result, SOON), 0);
    CHECK_EQ(atoi(result.text), 49);
    CHECK_EQ(result.deliveries, 2);
    anysync_future_unref(left);
    end_worker(worker);
    end();
}

/* Wait until someone has said of a job that it is being worked on: nothing else says XCLAIM. */
static void wait_until_renewed(void)
{
    for (bool renewed = false; !renewed;) {
        redisReply *reply = NULL;

        CHECK_EQ(redis_command(redis, &reply, SOON, "INFO commandstats"), 0);
        renewed = strstr(reply->str, "cmdstat_xclaim:") != NULL;
        freeReplyObject(reply);
        CHECK_EQ(anysync_sleep(anysync_in_ms(1)), 0);
    }
}

TEST(a_worker_renews_its_claim_to_what_takes_long)
{
    begin(false);
    pid_t worker = start_worker("one", "600"); /* nobody else is there */
    struct anysync_future *future = submit("wait", "gate");
    wait_until_has("one", 1);
    wait_until_renewed();
    push("gate", 1);
    struct job_result result = result_of(future);
    CHECK_EQ(result.deliveries, 1);
    end_worker(worker);
    end();
}

TEST(a_worker_that_stood_still_is_noticed_when_it_ends_its_job_too)
{
    struct job_result second;
    int status;

    begin(false);
    pid_t one = start_worker("one", "300");
    struct anysync_future *future = submit("wait", "gate");
    wait_until_has("one", 1);
    CHECK_EQ(kill(one, SIGSTOP), 0);
    CHECK_EQ(waitpid(one, &status, WUNTRACED), one);
    pid_t two = start_worker("two", "300");
    wait_until_has("two", 1);
    push("gate", 2); /* the one that stands still may have its share waiting in its socket */
    struct job_result result = result_of(future);
    CHECK_STR(result.worker, "two");
    CHECK_GE(result.deliveries, 2);
    check_nothing_twice();
    CHECK_EQ(kill(one, SIGCONT), 0);
    push("gate", 1); /* or it had not asked yet */
    CHECK_EQ(jobs_twice(jobs, &second, SOON), 0);
    CHECK_STR(second.worker, "one");
    CHECK_EQ(second.deliveries, 1);
    CHECK_STR(second.id, result.id);
    end_worker(one);
    end_worker(two);
    end();
}

/* Of the only job that somebody has: how long nothing was heard of it, how often it was given. */
static void look_at_job(long long *ret_idle_ms, long long *ret_deliveries)
{
    redisReply *reply = NULL;

    CHECK_EQ(redis_command(redis, &reply, SOON, "XPENDING jobs workers - + 1"), 0);
    CHECK_EQ(reply->elements, 1);
    *ret_idle_ms = reply->element[0]->element[2]->integer;
    *ret_deliveries = reply->element[0]->element[3]->integer;
    freeReplyObject(reply);
    CHECK_EQ(anysync_sleep(anysync_in_ms(1)), 0);
}

TEST(a_worker_that_stood_still_alone_goes_on_as_if_nothing_were)
{
    enum { CLAIM_MS = 100 };
    long long idle = 0, deliveries = 0;
    int status;

    begin(false);
    pid_t worker = start_worker("one", "100");
    struct anysync_future *future = submit("wait", "gate");
    wait_until_has("one", 1);
    for (int i = 0; i < 6; i++) {
        CHECK_EQ(kill(worker, SIGSTOP), 0);
        CHECK_EQ(waitpid(worker, &status, WUNTRACED), worker);
        while (idle <= 2 * CLAIM_MS)
            look_at_job(&idle, &deliveries);
        CHECK_EQ(kill(worker, SIGCONT), 0);
        while (idle > CLAIM_MS)
            look_at_job(&idle, &deliveries);
    }
    CHECK_EQ(deliveries, 1);
    push("gate", 1);
    CHECK_EQ(result_of(future).deliveries, 1);
    end_worker(worker);
    end();
}

ANYSYNC_COROUTINE(void, submit_some, (int, from), (int, count))
{
    for (int i = from; i < from + count; i++) {
        struct job_result result = result_of(submit_square(i));
        CHECK_EQ(result.code, 0);
        CHECK_EQ(atoi(result.text), i * i);
    }
    return 0;
}

TEST(redis_is_killed_and_started_again_and_all_results_come)
{
    struct anysync_future *early[50];
    submit_some_future some[10];

    begin(true);
    pid_t one = start_worker("one", "1000"), two = start_worker("two", "1000");
    for (int i = 0; i < 50; i++)
        early[i] = submit_square(i);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(submit_some_start(&some[i], i * 20, 20), 0);
    for (int round = 0; round < 3; round++) {
        CHECK_EQ(anysync_sleep(anysync_in_ms(20)), 0); /* in the middle, as a rule */
        redis_close(redis);
        server_kill(&server);
        redis_server_start(&server, server.port, true);
        CHECK_EQ(redis_connect(&options.redis, &redis, SOON), 0);
    }
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(submit_some_wait(&some[i], ANYSYNC_FOREVER), 0);
        submit_some_drop(&some[i]);
    }
    for (int i = 0; i < 50; i++)
        CHECK_EQ(atoi(result_of(early[i]).text), i * i);
    end_worker(one);
    end_worker(two);
    end();
}

/* As when it cannot write to its disk, or has become a replica. */
TEST(a_server_that_refuses_for_a_while_is_asked_again)
{
    struct job_result result;

    begin(false);
    pid_t worker = start_worker("one", "60000");
    CHECK_EQ(redis_command(redis, NULL, SOON, "ACL SETUSER default -xtrim"), 0);
    CHECK_EQ(atoi(result_of(submit_square(2)).text), 4);
    for (bool refused = false; !refused;) {
        redisReply *reply = NULL;

        CHECK_EQ(redis_command(redis, &reply, SOON, "ACL LOG"), 0);
        refused = reply->elements > 0;
        freeReplyObject(reply);
    }
    CHECK_EQ(redis_command(redis, NULL, SOON, "ACL SETUSER default +xtrim"), 0);
    struct anysync_future *future = submit_square(3);
    CHECK_EQ(anysync_wait(future, &result, anysync_in_seconds(20)), 0);
    CHECK_EQ(atoi(result.text), 9);
    anysync_future_unref(future);
    end_worker(worker);
    end();
}

ANYSYNC_COROUTINE(void, connect_again, (struct jobs_place *, place))
{
    int error = jobs_connect(place, SOON);

    CHECK(error || place->redis);
    return error;
}

/* Somebody for whom the connection is of no use, as soon as there is one. */
ANYSYNC_COROUTINE(void, disconnect, (struct jobs_place *, place))
{
    while (!place->redis) {
        int error = anysync_yield();
        if (error)
            return error;
    }
    return jobs_disconnect(place, place->redis);
}

ANYSYNC_COROUTINE(void, connect_many, (struct jobs_place *, place))
{
    int error = 0;

    for (int round = 0; round < 20 && !error; round++) {
        ANYSYNC_GROUP(group, &error)
        {
            for (int i = 0; i < 10 && !error; i++)
                error = connect_again_spawn(group, NULL, place);
            if (!error)
                error = disconnect_spawn(group, NULL, place);
        }
        redis_close(place->redis);
        place->redis = NULL;
    }
    return error;
}

TEST(who_has_connected_has_a_connection)
{
    struct jobs_place place = {.where = &options.redis};

    begin(false);
    CHECK_EQ(connect_many_run(&place), 0);
    end();
}

TEST(a_job_that_no_worker_survives_fails_in_the_end)
{
    begin(false);
    struct anysync_future *future = submit("wait", "gate");
    for (int i = 0; i < 5; i++) {
        char name[16];

        snprintf(name, sizeof(name), "victim%d", i);
        pid_t worker = start_worker(name, "50");
        wait_until_has(name, 1);
        end_worker(worker);
    }
    pid_t last = start_worker("last", "50");
    struct job_result result = result_of(future);
    CHECK_EQ(result.code, -ECONNABORTED);
    CHECK_EQ(result.deliveries, 6);
    CHECK_STR(result.text, "5 workers have not finished it");
    end_worker(last);
    end();
}

TEST(a_queue_that_is_none_takes_no_job)
{
    struct anysync_future *future = NULL;

    begin(false);
    CHECK_EQ(redis_command(redis, NULL, SOON, "SET jobs x"), 0);
    CHECK_EQ(jobs_submit(jobs, "square", "1", &future, SOON), -EREMOTEIO);
    CHECK_CONTAINS(anysync_last_error()->message, "WRONGTYPE");
    CHECK(future == NULL);
    end();
}

TEST(close_fails_what_is_not_done)
{
    struct job_result result;

    begin(false);
    struct anysync_future *future = submit("square", "1");
    end();
    CHECK_EQ(anysync_wait(future, &result, ANYSYNC_FOREVER), -EPIPE);
    CHECK_CONTAINS(anysync_last_error()->message, "its queue was closed");
    anysync_future_unref(future);
}

ANYSYNC_COROUTINE(void, drain, (struct anysync_executor *, executor))
{
    return anysync_executor_shutdown(executor, ANYSYNC_DRAIN, SOON, NULL);
}

TEST(a_shutdown_that_drains_waits_for_the_close)
{
    struct anysync_future *future = NULL, *more = NULL;
    struct anysync_executor *executor = NULL;
    struct job_result result;
    drain_future drained;

    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    options.redis.executor = executor;
    begin(false);
    future = submit("square", "1");
    CHECK_EQ(drain_start(&drained, executor), 0);
    while (jobs_submit(jobs, "square", "2", &more, SOON) == 0)
        anysync_future_unref(more);
    CHECK_EQ(anysync_last_error()->code, -ESHUTDOWN);
    end();
    CHECK_EQ(anysync_wait(future, &result, anysync_in_seconds(20)), -EPIPE);
    CHECK_EQ(drain_wait(&drained, anysync_in_seconds(20)), 0);
    drain_drop(&drained);
    anysync_future_unref(future);
    anysync_executor_unref(executor);
}

TEST(without_redis_a_submit_says_so_at_its_deadline)
{
    struct anysync_future *future = NULL;

    begin(false);
    server_kill(&server);
    CHECK(jobs_submit(jobs, "square", "1", &future, anysync_in_ms(100)) < 0);
    CHECK_CONTAINS(anysync_last_error()->message, "127.0.0.1");
    jobs_close(jobs);
    CHECK_EQ(jobs_open(&options, &jobs, SOON), -ECONNREFUSED);
    redis_close(redis);
}
