/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/*
 * R12: a storm of signals, 20,000 a second for each thread, that interrupt each system call.
 *
 * The library's threads block all signals but those of faults, so the storm is one of SIGTRAP,
 * which they do not block: its handler is installed without SA_RESTART, and a thread of this test
 * sends it to each other thread of the process every 50 us.  Meanwhile drivers, plain threads, do
 * all that waits, in all ways and worlds.  Each task and each item is counted; each deadline is
 * compared with the clock; and no call may say anything but what it has to, above all not -EINTR.
 *
 * From the environment: STORM_TASKS, STORM_SIGNALS: how many of each there have to be before it
 * ends.  Prints "N tasks ... M signals ...".
 */
#include "../worlds.h"

#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { DRIVERS = 4, BATCH = 128, EVERY_NS = 50000, MOST_THREADS = 512 };

static atomic_long begun;          /* bodies of tasks, jobs and generators */
static atomic_long expected_begun; /* sum over the drivers */
static atomic_long signals_ours, signals_drivers;
static atomic_long rounds; /* of the storm */
static atomic_bool storm_ends;
static _Thread_local bool is_driver;

static long setting(const char *name, long otherwise)
{
    const char *text = getenv(name);

    return text ? strtol(text, NULL, 10) : otherwise;
}

/* --- the storm -------------------------------------------------------------------------------- */

static void on_signal(int number)
{
    (void)number;
    atomic_fetch_add_explicit(
            is_driver ? &signals_drivers : &signals_ours, 1, memory_order_relaxed);
}

/* The threads of this process but the calling one.  Returns how many. */
static int list_threads(pid_t *tids)
{
    DIR *folder = opendir("/proc/self/task");
    pid_t self = (pid_t)syscall(SYS_gettid);
    int count = 0;

    if (!folder)
        return 0; /* no descriptor just now */
    for (struct dirent *entry; (entry = readdir(folder)) && count < MOST_THREADS;) {
        pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (tid > 0 && tid != self)
            tids[count++] = tid;
    }
    closedir(folder);
    return count;
}

static void storm(void *argument, int index)
{
    static pid_t tids[MOST_THREADS];
    int count = 0;
    int64_t next = test_now_ns();

    (void)argument;
    (void)index;
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    for (long round = 0; !atomic_load(&storm_ends); round++) {
        if (round % 8 == 0)
            count = list_threads(tids);
        for (int i = 0; i < count; i++)
            (void)syscall(SYS_tgkill, getpid(), tids[i], SIGTRAP);
        atomic_fetch_add(&rounds, 1);
        next += EVERY_NS;
        int64_t now = test_now_ns();
        if (next < now - 20 * EVERY_NS)
            next = now; /* it did not get its time: no burst for that */
        struct timespec until = {(time_t)(next / 1000000000), (long)(next % 1000000000)};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
            ;
    }
}

/* --- what is stormed: each function returns how many bodies it had to run --------------------- */

static void one_more(void)
{
    atomic_fetch_add_explicit(&begun, 1, memory_order_relaxed);
}

/* ERROR says that DEADLINE has passed: it has. */
static void check_late(int error, anysync_time deadline)
{
    CHECK_EQ(error, -ETIMEDOUT);
    CHECK_GE(anysync_now(), deadline);
}

ANYSYNC_COROUTINE(int, twice, (int, n))
{
    one_more();
    *result = 2 * n;
    return n % 4 == 0 ? anysync_yield() : 0;
}

static long storm_spawn(void)
{
    twice_future soon[BATCH];
    int value;

    for (int i = 0; i < BATCH; i++)
        CHECK_EQ(twice_start(&soon[i], i), 0);
    for (int i = 0; i < BATCH; i++) {
        CHECK_EQ(twice_wait(&soon[i], &value, ANYSYNC_FOREVER), 0);
        CHECK_EQ(value, 2 * i);
        twice_drop(&soon[i]);
    }
    return BATCH;
}

static long storm_run(void)
{
    int value = 0;

    for (int i = 0; i < 8; i++) {
        CHECK_EQ(i & 1 ? twice_run(&value, i) : twice_run_here(&value, i), 0);
        CHECK_EQ(value, 2 * i);
    }
    return 8;
}

ANYSYNC_COROUTINE(int, twice_nested, (int, n))
{
    one_more();
    return twice_run(result, n);
}

static long storm_nested(void)
{
    int value = 0;

    CHECK_EQ(twice_nested_run(&value, 21), 0);
    CHECK_EQ(value, 42);
    return 2;
}

static void sleep_and_look(int64_t delay_ns)
{
    anysync_time deadline = anysync_in_ns(delay_ns);

    CHECK_EQ(anysync_sleep(deadline), 0);
    CHECK_GE(anysync_now(), deadline);
}

ANYSYNC_COROUTINE(void, sleeper, (int, n))
{
    one_more();
    sleep_and_look(20000 + 7000 * n);
    return 0;
}

static long storm_sleep(void)
{
    sleeper_future soon[16];

    for (int i = 0; i < 16; i++)
        CHECK_EQ(sleeper_start(&soon[i], i), 0);
    sleep_and_look(100000);
    for (int i = 0; i < 16; i++) {
        CHECK_EQ(sleeper_wait(&soon[i], ANYSYNC_FOREVER), 0);
        sleeper_drop(&soon[i]);
    }
    CHECK_EQ(sleeper_run_here(3), 0);
    return 17;
}

/* Waits that end by their deadlines, here: a thread or a task. */
static void wait_in_vain(void)
{
    struct anysync_future *gate = new_gate(), *timer = NULL;
    struct anysync_limiter *limiter = NULL;
    int fds[2];

    CHECK_EQ(anysync_limiter_new(1, &limiter), 0);
    CHECK_EQ(anysync_limiter_try_acquire(limiter), 0);
    CHECK_EQ(pipe(fds), 0);
    anysync_time deadline = anysync_in_us(150);
    check_late(anysync_future_wait(gate, deadline), deadline);
    deadline = anysync_in_us(150);
    check_late(anysync_limiter_acquire(limiter, deadline), deadline);
    deadline = anysync_in_us(150);
    check_late(anysync_wait_fd(fds[0], ANYSYNC_READABLE, deadline), deadline);
    char byte;
    deadline = anysync_in_us(150);
    check_late((int)anysync_read(fds[0], &byte, 1, deadline), deadline);
    deadline = anysync_in_us(150);
    CHECK_EQ(anysync_future_at(deadline, &timer), 0);
    CHECK_EQ(anysync_future_wait(timer, ANYSYNC_FOREVER), 0);
    CHECK_GE(anysync_now(), deadline);
    anysync_future_unref(timer);
    anysync_future_unref(gate);
    anysync_limiter_release(limiter);
    anysync_limiter_unref(limiter);
    close(fds[0]);
    close(fds[1]);
}

ANYSYNC_COROUTINE(void, in_vain)
{
    one_more();
    wait_in_vain();
    return 0;
}

static long storm_deadlines(void)
{
    wait_in_vain();
    CHECK_EQ(in_vain_run(), 0);
    CHECK_EQ(in_vain_run_here(), 0);
    return 2;
}

ANYSYNC_BLOCKING(int, job, (int, n))
{
    one_more();
    sleep_and_look(10000);
    *result = 3 * n;
    return 0;
}

ANYSYNC_COROUTINE(int, with_job, (int, n))
{
    one_more();
    return job(result, n);
}

static long storm_jobs(void)
{
    job_future soon[6];
    int value = 0;

    for (int i = 0; i < 6; i++)
        CHECK_EQ(job_start(&soon[i], i), 0);
    CHECK_EQ(with_job_run(&value, 5), 0);
    CHECK_EQ(value, 15);
    for (int i = 0; i < 6; i++) {
        CHECK_EQ(job_wait(&soon[i], &value, ANYSYNC_FOREVER), 0);
        CHECK_EQ(value, 3 * i);
        job_drop(&soon[i]);
    }
    return 8;
}

ANYSYNC_CHANNEL(item, int);

ANYSYNC_COROUTINE(void, send_items, (item_channel *, channel), (int, count))
{
    one_more();
    for (int i = 0; i < count; i++)
        CHECK_EQ(item_channel_send(channel, i, ANYSYNC_FOREVER), 0);
    item_channel_close(channel);
    return 0;
}

static long storm_channel(void)
{
    item_channel *channel = NULL;
    send_items_future sender;
    int item = -1;

    CHECK_EQ(item_channel_new(3, &channel), 0);
    CHECK_EQ(send_items_start(&sender, channel, 40), 0);
    for (int i = 0; i < 40; i++) {
        CHECK_EQ(item_channel_recv(channel, &item, ANYSYNC_FOREVER), 0);
        CHECK_EQ(item, i);
    }
    CHECK_EQ(item_channel_recv(channel, &item, ANYSYNC_FOREVER), ANYSYNC_DONE);
    CHECK_EQ(send_items_wait(&sender, ANYSYNC_FOREVER), 0);
    send_items_drop(&sender);
    item_channel_unref(channel);
    return 1;
}

ANYSYNC_GENERATOR(int, count_to, (int, last))
{
    one_more();
    for (int i = 1; i <= last; i++) {
        int error = count_to_yield(i);
        if (error)
            return error;
    }
    return 0;
}

static long storm_generator(void)
{
    struct anysync_generator_options ahead = {.read_ahead = 4};
    count_to_generator generator;
    int error = 0, sum = 0, item;

    ANYSYNC_FOR(count_to, i, &error, 20)
    {
        sum += i;
    }
    CHECK_EQ(error, 0);
    CHECK_EQ(sum, 210);
    CHECK_EQ(count_to_open_with(&ahead, &generator, 20), 0);
    for (int i = 1; i <= 20; i++) {
        CHECK_EQ(count_to_next(&generator, &item), 0);
        CHECK_EQ(item, i);
    }
    count_to_drop(&generator);
    return 2;
}

ANYSYNC_COROUTINE(int, read_all, (int, fd))
{
    char bytes[3];
    ssize_t count = 0;

    one_more();
    do {
        *result += (int)count;
        count = anysync_read(fd, bytes, sizeof(bytes), ANYSYNC_FOREVER);
        CHECK_GE(count, 0);
    } while (count > 0);
    return 0;
}

static void write_some(int fd)
{
    for (int left = 20; left > 0;) {
        ssize_t count = anysync_write(fd, "0123456789abcdefghij", (size_t)left, ANYSYNC_FOREVER);
        CHECK_GE(count, 1);
        left -= (int)count;
    }
    close(fd);
}

static long storm_pipe(void)
{
    read_all_future soon;
    int fds[2], value = 0;

    CHECK_EQ(pipe(fds), 0);
    CHECK_EQ(read_all_start(&soon, fds[0]), 0);
    write_some(fds[1]);
    CHECK_EQ(read_all_wait(&soon, &value, ANYSYNC_FOREVER), 0);
    CHECK_EQ(value, 20);
    read_all_drop(&soon);
    close(fds[0]);
    return 1;
}

ANYSYNC_COROUTINE(void, serve, (int, listener))
{
    one_more();
    int fd = anysync_accept(listener, NULL, NULL, ANYSYNC_FOREVER);
    CHECK_GE(fd, 0);
    write_some(fd);
    return 0;
}

static int dial(const struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK_GE(fd, 0);
    CHECK_EQ(anysync_connect(
                     fd, (const struct sockaddr *)address, sizeof(*address), ANYSYNC_FOREVER),
            0);
    return fd;
}

static long storm_sockets(void)
{
    struct sockaddr_in address = {
            .sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), value = 0;
    serve_future soon;

    CHECK_EQ(bind(listener, (struct sockaddr *)&address, size), 0);
    CHECK_EQ(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    CHECK_EQ(listen(listener, 4), 0);
    CHECK_EQ(serve_start(&soon, listener), 0);
    int fd = dial(&address);
    CHECK_EQ(read_all_run_here(&value, fd), 0);
    CHECK_EQ(value, 20);
    CHECK_EQ(serve_wait(&soon, ANYSYNC_FOREVER), 0);
    serve_drop(&soon);
    close(fd);
    close(listener);
    return 2;
}

static long storm_group(void)
{
    struct anysync_group *group = NULL;

    CHECK_EQ(anysync_group_open(&group), 0);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(twice_spawn(group, NULL, i), 0);
    CHECK_EQ(anysync_group_close(group, 0, ANYSYNC_FOREVER), 0);
    return 8;
}

static long storm_executor(void)
{
    struct anysync_executor *executor = NULL;
    int value = 0;

    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    CHECK_EQ(twice_run_on(executor, &value, 4), 0);
    CHECK_EQ(value, 8);
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    anysync_executor_unref(executor);
    return 1;
}

static long storm_process(void)
{
    char *arguments[] = {(char *)(intptr_t) "true", NULL};
    int pid = 0, status = -1;

    CHECK_EQ(anysync_process_start("/bin/true", arguments, &pid), 0);
    while (waitpid(pid, &status, 0) < 0)
        CHECK_EQ(errno, EINTR); /* of this test's own call */
    CHECK_EQ(status, 0);
    return 0;
}

/* --- all -------------------------------------------------------------------------------------- */

static long (*const kinds[])(void) = {storm_spawn, storm_run, storm_spawn, storm_nested,
        storm_spawn, storm_sleep, storm_spawn, storm_deadlines, storm_spawn, storm_jobs,
        storm_spawn, storm_channel, storm_spawn, storm_generator, storm_spawn, storm_pipe,
        storm_spawn, storm_sockets, storm_spawn, storm_group, storm_spawn, storm_executor};

enum { KINDS = sizeof(kinds) / sizeof(*kinds) };

static void drive(void *argument, int index)
{
    long tasks = setting("STORM_TASKS", 100000), signals = setting("STORM_SIGNALS", 20000);
    long ran = 0, turn = index;

    (void)argument;
    is_driver = true;
    while (atomic_load(&begun) < tasks || atomic_load(&signals_ours) < signals) {
        ran += kinds[turn++ % KINDS]();
        if (turn % 500 == 0)
            ran += storm_process();
    }
    atomic_fetch_add(&expected_begun, ran);
}

TEST(r12_a_storm_of_signals)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct test_threads *storms;
    int64_t start = test_now_ns();

    sigemptyset(&action.sa_mask);
    CHECK_EQ(sigaction(SIGTRAP, &action, NULL), 0);
    is_driver = true;
    storms = test_threads_start(1, storm, NULL);
    test_together(DRIVERS, drive, NULL);
    CHECK_EQ(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    atomic_store(&storm_ends, true);
    test_threads_join(storms);
    CHECK_EQ(atomic_load(&begun), atomic_load(&expected_begun));
    double seconds = (double)(test_now_ns() - start) / 1e9;
    long ours = atomic_load(&signals_ours), others = atomic_load(&signals_drivers);
    printf("%ld tasks, %ld signals on threads of the library, %ld on others, %.1f kHz in all, "
           "%.1f kHz for each thread, %.0f s\n",
            atomic_load(&begun), ours, others, (double)(ours + others) / seconds / 1e3,
            (double)atomic_load(&rounds) / seconds / 1e3, seconds);
    fflush(stdout);
}
