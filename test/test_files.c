/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* syscall() */
/*
 * Files (include/anysync/file.h), in every world.
 *
 * Promised                                       Tested by
 *   K10 what is written is read                  k10_bytes_go_to_a_file_and_back
 *       whole files, replaced at once            k10_a_whole_file_is_read
 *                                                k10_a_whole_file_is_replaced_at_once
 *         and brought to the disk                k10_a_replaced_file_reaches_the_disk
 *       sentences name the file                  k10_what_fails_names_the_file
 *       a close needs no token of others         k10_a_close_needs_no_token_of_the_default_limiter
 *       deadlines: a hanging open is left        k10_a_hanging_open_is_left_at_its_deadline
 *                                                k10_a_late_content_is_dropped
 *       late, cancelled: nothing is begun        k10_nothing_begins_after_the_deadline
 *                                                k10_a_cancelled_task_changes_nothing
 *       callbacks                                k10_a_callback_cannot_wait_for_files
 *       refusals lose nothing                    k10_refused_at_each_place
 */
#include "fault.h"
#include "futures.h"
#include "jobs.h"
#include "worlds.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

static char folder[] = "/tmp/anysync-test-XXXXXX";
static char path[100];

static void open_folder(void)
{
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof(path), "%s/file", folder);
}

static int files_in_folder(void)
{
    DIR *listing = opendir(folder);
    int count = 0;

    CHECK(listing != NULL);
    for (struct dirent *entry; (entry = readdir(listing));)
        count += entry->d_name[0] != '.';
    closedir(listing);
    return count;
}

static void close_folder(void)
{
    unlink(path);
    CHECK_EQ(rmdir(folder), 0); /* nothing else is left in it */
}

static void check_bytes(void)
{
    struct stat status;
    char got[20] = "";
    int fd = -1;

    CHECK_EQ(anysync_file_open(path, O_RDWR | O_CREAT, 0600, ANYSYNC_FOREVER, &fd), 0);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    CHECK_EQ(anysync_file_write(fd, "hello", 5, 3, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_file_sync(fd, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_file_read(fd, got, sizeof(got), 4, ANYSYNC_FOREVER), 4);
    CHECK_STR(got, "ello");
    CHECK_EQ(anysync_file_read(fd, got, 2, 3, ANYSYNC_FOREVER), 2);
    CHECK_EQ(anysync_file_read(fd, got, 2, 8, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_file_close(fd), 0);
    CHECK_EQ(fcntl(fd, F_GETFD), -1);
    CHECK_EQ(anysync_file_stat(path, ANYSYNC_FOREVER, &status), 0);
    CHECK_EQ(status.st_size, 8);
    CHECK_EQ(unlink(path), 0);
}

TEST(k10_bytes_go_to_a_file_and_back)
{
    open_folder();
    in_worlds(EVERYWHERE_AND_POOL, check_bytes);
    close_folder();
}

static void check_read_all(void)
{
    enum { MUCH = 100 * 1000 };
    static char load[MUCH];
    char *bytes = NULL;
    size_t size = 99;

    memset(load, 'x', MUCH);
    CHECK_EQ(anysync_file_write_all(path, load, MUCH, 0600, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_file_read_all(path, MUCH, ANYSYNC_FOREVER, &bytes, &size), 0);
    CHECK_EQ(size, MUCH);
    CHECK_EQ(strlen(bytes), MUCH);
    CHECK(memcmp(bytes, load, MUCH) == 0);
    anysync_free(bytes);
    bytes = NULL;
    CHECK_EQ(anysync_file_read_all(path, MUCH - 1, ANYSYNC_FOREVER, &bytes, &size), -EMSGSIZE);
    CHECK(bytes == NULL);
    CHECK_EQ(anysync_file_write_all(path, NULL, 0, 0600, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_file_read_all(path, 0, ANYSYNC_FOREVER, &bytes, NULL), 0);
    CHECK_STR(bytes, "");
    anysync_free(bytes);
}

TEST(k10_a_whole_file_is_read)
{
    open_folder();
    in_worlds(EVERYWHERE_AND_POOL, check_read_all);
    close_folder();
}

static void check_replace(void)
{
    char got[8] = "", *bytes;
    struct stat status;

    CHECK_EQ(anysync_file_write_all(path, "old", 3, 0640, ANYSYNC_FOREVER), 0);
    int fd = open(path, O_RDONLY);
    CHECK_EQ(anysync_file_write_all(path, "newer", 5, 0640, ANYSYNC_FOREVER), 0);
    CHECK_EQ(read(fd, got, 7), 3); /* who had it open sees all of the old one */
    CHECK_STR(got, "old");
    close(fd);
    CHECK_EQ(anysync_file_read_all(path, 100, ANYSYNC_FOREVER, &bytes, NULL), 0);
    CHECK_STR(bytes, "newer");
    anysync_free(bytes);
    CHECK_EQ(stat(path, &status), 0);
    CHECK_EQ(status.st_mode & 0777, 0640);
    CHECK_EQ(files_in_folder(), 1);
    CHECK_EQ(unlink(path), 0);
    CHECK_EQ(mkdir(path, 0700), 0); /* cannot be replaced */
    CHECK_EQ(anysync_file_write_all(path, "x", 1, 0640, ANYSYNC_FOREVER), -EISDIR);
    CHECK_EQ(files_in_folder(), 1);
    CHECK_EQ(rmdir(path), 0);
}

TEST(k10_a_whole_file_is_replaced_at_once)
{
    umask(022);
    open_folder();
    in_worlds(EVERYWHERE_AND_POOL, check_replace);
    close_folder();
}

static atomic_bool watched;        /* fsync() is */
static atomic_int syncs, fails_at; /* its calls */

/* In the place of the system's: what it is called for, and a failure. */
int fsync(int fd)
{
    struct stat status;

    if (!atomic_load(&watched))
        return (int)syscall(SYS_fsync, fd);
    int number = atomic_fetch_add(&syncs, 1) + 1;
    CHECK_EQ(fstat(fd, &status), 0);
    CHECK_EQ(S_ISDIR(status.st_mode) != 0, number == 2); /* the file first, then its directory */
    if (number != atomic_load(&fails_at))
        return 0;
    errno = EDQUOT;
    return -1;
}

static int replace(const char *text, int failing)
{
    atomic_store(&syncs, 0);
    atomic_store(&fails_at, failing);
    return anysync_file_write_all(path, text, strlen(text), 0600, ANYSYNC_FOREVER);
}

static void expect_content(const char *text)
{
    char *bytes = NULL;

    CHECK_EQ(anysync_file_read_all(path, 100, ANYSYNC_FOREVER, &bytes, NULL), 0);
    CHECK_STR(bytes, text);
    anysync_free(bytes);
    CHECK_EQ(files_in_folder(), 1);
}

static void check_disk(void)
{
    CHECK_EQ(replace("one", 0), 0);
    CHECK_EQ(atomic_load(&syncs), 2);
    CHECK_EQ(replace("two", 1), -EDQUOT);
    CHECK_EQ(atomic_load(&syncs), 1);
    expect_content("one");
    CHECK_EQ(replace("three", 2), -EINPROGRESS);
    expect_content("three");
}

TEST(k10_a_replaced_file_reaches_the_disk)
{
    open_folder();
    atomic_store(&watched, true);
    in_worlds(EVERYWHERE_AND_POOL, check_disk);
    close_folder();
}

static void check_failures(void)
{
    char expected[200], *bytes = NULL;
    struct stat status;
    int fd = open(path, O_RDONLY | O_CREAT, 0600), none = 99;

    CHECK_EQ(anysync_file_write(fd, "x", 1, 0, ANYSYNC_FOREVER), -EBADF);
    snprintf(expected, sizeof(expected), "writing %s (descriptor %d): ", path, fd);
    CHECK_CONTAINS(anysync_last_error()->message, expected);
    close(fd);
    CHECK_EQ(anysync_file_close(fd), -EBADF);
    CHECK_EQ(anysync_file_sync(1000, ANYSYNC_FOREVER), -EBADF);
    CHECK_CONTAINS(anysync_last_error()->message, "syncing descriptor 1000: ");
    CHECK_EQ(anysync_file_read(1000, expected, 1, 0, ANYSYNC_FOREVER), -EBADF);
    CHECK_EQ(anysync_file_open("/nowhere/a", O_RDONLY, 0, ANYSYNC_FOREVER, &none), -ENOENT);
    CHECK_STR(anysync_last_error()->message, "opening /nowhere/a: no such thing");
    CHECK_EQ(anysync_file_stat("/nowhere/a", ANYSYNC_FOREVER, &status), -ENOENT);
    CHECK_EQ(anysync_file_read_all("/nowhere/a", 9, ANYSYNC_FOREVER, &bytes, NULL), -ENOENT);
    CHECK_STR(anysync_last_error()->message, "reading /nowhere/a: no such thing");
    CHECK_EQ(anysync_file_write_all("/nowhere/a", "x", 1, 0600, ANYSYNC_FOREVER), -ENOENT);
    CHECK_STR(anysync_last_error()->message, "replacing /nowhere/a: no such thing");
    CHECK_EQ(none, 99);
    CHECK(bytes == NULL);
}

TEST(k10_what_fails_names_the_file)
{
    open_folder();
    in_worlds(EVERYWHERE_AND_POOL, check_failures);
    close_folder();
}

/* The other end of the pipe is missing, so that an open() of it hangs. */
static void check_hanging(void)
{
    anysync_time deadline = anysync_in_ms(1);
    int before = test_fd_count(), fd = 99;

    CHECK_EQ(mkfifo(path, 0600), 0);
    CHECK_EQ(anysync_file_open(path, O_WRONLY, 0, deadline, &fd), -ETIMEDOUT);
    CHECK_GE(anysync_now(), deadline);
    CHECK_CONTAINS(anysync_last_error()->message, "opening ");
    CHECK_EQ(fd, 99);
    /* Now the job, if it has begun, goes on, and drops what it got.  (To open both ends at once
     * hangs nobody.) */
    int end = open(path, O_RDWR);
    CHECK(end >= 0);
    while (test_fd_count() > before + 1)
        nap();
    close(end);
    CHECK_EQ(unlink(path), 0);
}

TEST(k10_a_hanging_open_is_left_at_its_deadline)
{
    open_folder();
    in_worlds(ON_WORKERS, check_hanging);
    close_folder();
}

/* What a job has read that nobody waits for any more is dropped: a leak sanitizer looks. */
static void check_hanging_read(void)
{
    int before = test_fd_count(), end = -1;
    char *bytes = NULL;

    CHECK_EQ(mkfifo(path, 0600), 0);
    for (int ms = 1; end < 0; ms *= 2) { /* until the job has begun before its caller leaves */
        anysync_time deadline = anysync_in_ms(ms);
        CHECK_EQ(anysync_file_read_all(path, 100, deadline, &bytes, NULL), -ETIMEDOUT);
        end = open(path, O_WRONLY | O_NONBLOCK);
    }
    CHECK_EQ(write(end, "late", 4), 4);
    close(end);
    while (test_fd_count() > before)
        nap();
    CHECK(bytes == NULL);
    CHECK_EQ(unlink(path), 0);
}

TEST(k10_a_late_content_is_dropped)
{
    open_folder();
    in_worlds(ON_WORKERS, check_hanging_read);
    close_folder();
}

static void check_late(void)
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    struct stat status;

    for (int i = 0; i < 100; i++) { /* a job that did begin would win a few times */
        CHECK_EQ(anysync_file_write(fd, "x", 1, 0, ANYSYNC_POLL), -ETIMEDOUT);
        CHECK_EQ(anysync_file_write_all(path, "x", 1, 0600, ANYSYNC_POLL), -ETIMEDOUT);
    }
    CHECK_EQ(fstat(fd, &status), 0);
    CHECK_EQ(status.st_size, 0);
    CHECK_EQ(status.st_nlink, 1);
    close(fd);
}

TEST(k10_nothing_begins_after_the_deadline)
{
    open_folder();
    in_worlds(EVERYWHERE_AND_POOL, check_late);
    close_folder();
}

ANYSYNC_COROUTINE(void, writes_cancelled, (struct anysync_future *, begun))
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);

    CHECK_EQ(anysync_future_wait(begun, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_EQ(anysync_file_write(fd, "x", 1, 0, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_EQ(anysync_file_write_all(path, "x", 1, 0600, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_EQ(lseek(fd, 0, SEEK_END), 0);
    CHECK_EQ(anysync_file_close(fd), 0); /* even so */
    CHECK_EQ(fcntl(fd, F_GETFD), -1);
    return 0;
}

static void check_cancelled(void)
{
    struct anysync_future *never = new_gate();
    writes_cancelled_future task;

    CHECK_EQ(writes_cancelled_start(&task, never), 0);
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(writes_cancelled_cancel(&task), 0);
    CHECK_EQ(writes_cancelled_wait(&task, ANYSYNC_FOREVER), 0);
    writes_cancelled_drop(&task);
    anysync_future_unref(never);
}

TEST(k10_a_cancelled_task_changes_nothing)
{
    open_folder();
    in_worlds(IN_COROUTINES, check_cancelled);
    close_folder();
}

ANYSYNC_COROUTINE(void, close_it, (int, fd))
{
    return anysync_file_close(fd);
}

TEST(k10_a_close_needs_no_token_of_the_default_limiter)
{
    size_t total = figures(NULL).total;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close_it_future future;

    for (size_t i = 0; i < total; i++)
        CHECK_EQ(anysync_limiter_acquire(NULL, ANYSYNC_POLL), 0);
    CHECK_EQ(close_it_start(&future, fd), 0);
    CHECK_EQ(close_it_wait(&future, anysync_in_seconds(10)), 0);
    for (size_t i = 0; i < total; i++)
        anysync_limiter_release(NULL);
    CHECK_EQ(fcntl(fd, F_GETFD), -1);
    close_it_drop(&future);
}

static void in_callback(evutil_socket_t fd, short events, void *called)
{
    struct stat status;

    (void)fd;
    (void)events;
    CHECK_EQ(anysync_file_stat(folder, ANYSYNC_FOREVER, &status), -EDEADLK);
    CHECK_CONTAINS(anysync_last_error()->message, "a callback of the loop cannot wait");
    set(called, 0);
}

static void check_callback(void)
{
    call_back(in_callback);
}

TEST(k10_a_callback_cannot_wait_for_files)
{
    in_worlds(WORKER | HERE, check_callback);
}

static void check_refused(void)
{
    for (int nth = 1;; nth++) {
        char *bytes = NULL;
        fault_fail(FAULT_ANY, nth, false);
        int error = anysync_file_write_all(path, "hello", 5, 0600, ANYSYNC_FOREVER);
        if (!error)
            error = anysync_file_read_all(path, 100, ANYSYNC_FOREVER, &bytes, NULL);
        bool reached = fault_failed(FAULT_ANY) > 0;
        fault_clear();
        CHECK(error == 0 || error == -ENOMEM || error == -EAGAIN);
        CHECK(!bytes || strcmp(bytes, "hello") == 0);
        anysync_free(bytes);
        if (!reached)
            break;
    }
}

TEST(k10_refused_at_each_place)
{
    open_folder();
    in_worlds(PLAIN | WORKER, check_refused);
    close_folder();
}
