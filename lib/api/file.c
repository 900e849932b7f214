/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* O_CLOEXEC */
/*
 * Files.
 *
 * Each call is an operation: a record that says what to do, and a blocking function that does it.
 *
 *   by descriptor  the record lies on the caller's stack, which waits for the end of the job.  So
 *                  it is for writing a whole file, which may be long.
 *   by name        the job has a copy of the record, with the name in it; what it found is the
 *                  job's value, and freed by the option drop if the caller has left.
 */
#include <anysync/file.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"
#include "sched/error.h"
#include "sched/limiter.h"
#include "sched/scope.h"
#include "sched/wait.h"
#include "thread/local.h"

#include <anysync/offload.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SHOWN_SIZE = 300, FIRST_SIZE = 4096 };

/* --- running an operation --------------------------------------------------------------------- */

static int refuse(int error, const char *verb, const char *path)
{
    return asi_call_fails(error, "%s %s: %s", verb, path,
            error == -EDEADLK ? "a callback of the loop cannot wait: spawn a coroutine that does"
                              : anysync_error_text(error));
}

/* Whether it may begin at all: 0, or the code. */
static int may_begin(anysync_time deadline)
{
    int error;

    switch (asi_world()) {
    case ASI_WORLD_CALLBACK:
        return -EDEADLK;
    case ASI_WORLD_TASK:
        error = asi_wait_checkpoint();
        return error ? error : anysync_now() < deadline ? 0 : -ETIMEDOUT;
    case ASI_WORLD_THREAD:
        break;
    }
    return anysync_now() < asi_scope_limit(deadline) ? 0 : asi_scope_why(deadline);
}

/* FUNCTION, here or as a job. */
static int perform(const struct anysync_function *function, void *argument, void *ret_result,
        bool abandon, void (*drop)(void *result), anysync_time deadline)
{
    const struct anysync_offload_options options = {.abandon = abandon, .drop = drop};

    if (asi_world() == ASI_WORLD_TASK)
        return anysync_offload(function, argument, ret_result, &options, deadline);
    return function->body(argument, ret_result);
}

#define FUNCTION(name, argument_size, result_size)                                                 \
    static const struct anysync_function name##_function = {"file_" #name, __FILE__, __LINE__,     \
            name##_body, argument_size, result_size, 0, ANYSYNC_KIND_BLOCKING}

/* --- by descriptor ---------------------------------------------------------------------------- */

struct piece {
    int fd;
    char *bytes; /* borrowed; only read by a write */
    size_t size;
    off_t offset;
};

/* "/tmp/a (descriptor 7)": the system knows the name. */
static const char *name_of(int fd, char text[SHOWN_SIZE])
{
    char link[40], path[SHOWN_SIZE - 40];

    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof(path) - 1);
    if (size > 0)
        (void)snprintf(text, SHOWN_SIZE, "%.*s (descriptor %d)", (int)size, path, fd);
    else
        (void)snprintf(text, SHOWN_SIZE, "descriptor %d", fd);
    return text;
}

static int read_body(void *argument, void *ret_result)
{
    struct piece *const *at = argument;
    struct piece *piece = *at;
    size_t done = 0;

    while (done < piece->size) {
        ssize_t count = pread(
                piece->fd, piece->bytes + done, piece->size - done, piece->offset + (off_t)done);
        if (count == 0)
            break;
        if (count < 0 && errno != EINTR)
            return -errno;
        done += count > 0 ? (size_t)count : 0;
    }
    *(size_t *)ret_result = done;
    return 0;
}

static int write_body(void *argument, void *ret_result)
{
    struct piece *const *at = argument;
    struct piece *piece = *at;
    size_t done = 0;

    (void)ret_result;
    while (done < piece->size) {
        ssize_t count = pwrite(
                piece->fd, piece->bytes + done, piece->size - done, piece->offset + (off_t)done);
        if (count == 0)
            return -EIO;
        if (count < 0 && errno != EINTR)
            return -errno;
        done += count > 0 ? (size_t)count : 0;
    }
    return 0;
}

static int sync_body(void *argument, void *ret_result)
{
    struct piece *const *piece = argument;

    (void)ret_result;
    return fsync((*piece)->fd) == 0 ? 0 : -errno;
}

static int close_body(void *argument, void *ret_result)
{
    struct piece *const *piece = argument;

    (void)ret_result;
    return close((*piece)->fd) == 0 || errno == EINTR ? 0 : -errno;
}

FUNCTION(read, sizeof(struct piece *), sizeof(size_t));
FUNCTION(write, sizeof(struct piece *), 0);
FUNCTION(sync, sizeof(struct piece *), 0);
FUNCTION(close, sizeof(struct piece *), 0);

/* FUNCTION of PIECE, which stays here until it has ended. */
static int on_piece(const struct anysync_function *function, const char *verb, struct piece *piece,
        size_t *ret_count, anysync_time deadline)
{
    char text[SHOWN_SIZE];
    int error = may_begin(deadline);

    if (!error)
        error = perform(function, &piece, ret_count, false, NULL, deadline);
    return error ? refuse(error, verb, name_of(piece->fd, text)) : 0;
}

ssize_t anysync_file_read(int fd, void *buffer, size_t size, off_t offset, anysync_time deadline)
{
    struct piece piece = {fd, buffer, size, offset};
    size_t count = 0;
    int error = on_piece(&read_function, "reading", &piece, &count, deadline);

    return error ? error : (ssize_t)count;
}

int anysync_file_write(int fd, const void *buffer, size_t size, off_t offset, anysync_time deadline)
{
    struct piece piece = {fd, (char *)(uintptr_t)buffer, size, offset};

    return on_piece(&write_function, "writing", &piece, NULL, deadline);
}

int anysync_file_sync(int fd, anysync_time deadline)
{
    struct piece piece = {.fd = fd};

    return on_piece(&sync_function, "syncing", &piece, NULL, deadline);
}

int anysync_file_close(int fd)
{
    const struct anysync_offload_options options = {.limiter = asi_limiter_of_closes()};
    struct piece piece = {.fd = fd}, *at = &piece;
    struct anysync_scope shield;
    char text[SHOWN_SIZE];
    int error;

    name_of(fd, text);
    if (asi_world() != ASI_WORLD_TASK) { /* in a callback, too: there is nobody to do it later */
        error = close_body(&at, NULL);
        return error ? refuse(error, "closing", text) : 0;
    }
    anysync_shield_enter(&shield, ANYSYNC_FOREVER);
    error = anysync_offload(&close_function, &at, NULL, &options, ANYSYNC_FOREVER);
    /* No job was to be had; or this is a child that the task has forked. */
    if (error == -EAGAIN || error == -ENOMEM || error == -EOWNERDEAD)
        error = close_body(&at, NULL);
    anysync_scope_exit(&shield, 0);
    return error ? refuse(error, "closing", text) : 0;
}

/* --- by name ---------------------------------------------------------------------------------- */

/* Copied into the job. */
struct request {
    char path[PATH_MAX];
    size_t limit;
    int flags;
    mode_t mode;
};

struct content {
    char *bytes;
    size_t size;
};

static int open_body(void *argument, void *ret_result)
{
    const struct request *request = argument;
    int fd = open(request->path, request->flags | O_CLOEXEC, request->mode);

    *(int *)ret_result = fd;
    return fd >= 0 ? 0 : -errno;
}

static int stat_body(void *argument, void *ret_result)
{
    const struct request *request = argument;

    return stat(request->path, ret_result) == 0 ? 0 : -errno;
}

/* One more piece of FD; ANYSYNC_DONE at its end. */
static int read_more(int fd, struct content *content, size_t *room, size_t limit)
{
    if (content->size + 1 >= *room) {
        size_t twice = *room ? *room * 2 : FIRST_SIZE;
        char *bytes = asi_allocate(twice);
        if (!bytes)
            return -ENOMEM;
        if (content->size)
            memcpy(bytes, content->bytes, content->size);
        asi_free(content->bytes);
        content->bytes = bytes;
        *room = twice;
    }
    ssize_t count = read(fd, content->bytes + content->size, *room - content->size - 1);
    if (count <= 0)
        return count == 0 ? ANYSYNC_DONE : errno == EINTR ? 0 : -errno;
    content->size += (size_t)count;
    return content->size > limit ? -EMSGSIZE : 0;
}

static int read_all_body(void *argument, void *ret_result)
{
    const struct request *request = argument;
    struct content content = {NULL, 0};
    size_t room = 0;
    int fd = open(request->path, O_RDONLY | O_CLOEXEC), error = fd < 0 ? -errno : 0;

    while (!error)
        error = read_more(fd, &content, &room, request->limit);
    if (fd >= 0)
        close(fd);
    if (error < 0) {
        asi_free(content.bytes);
        return error;
    }
    ASI_ASSERT(content.bytes, "who found the end of a file had room for more");
    content.bytes[content.size] = '\0';
    *(struct content *)ret_result = content;
    return 0;
}

/* --- a whole file, at once -------------------------------------------------------------------- */

struct replacement {
    const char *path;
    char *bytes; /* only read */
    size_t size;
    mode_t mode;
};

/* Create a file beside PATH; NAME has room for its name. */
static int create_beside(const char *path, mode_t mode, char *name, size_t name_size)
{
    for (unsigned attempt = 0;; attempt++) {
        (void)snprintf(name, name_size, "%s.new-%d-%u-%u", path, (int)getpid(), asi_local_serial(),
                attempt);
        int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (fd >= 0 || errno != EEXIST)
            return fd >= 0 ? fd : -errno;
    }
}

/* Write, bring to the disk, close. */
static int fill(int fd, const struct replacement *request)
{
    struct piece piece = {fd, request->bytes, request->size, 0}, *at = &piece;
    int error = write_body(&at, NULL);

    if (!error && fsync(fd) != 0)
        error = -errno;
    if (close(fd) != 0 && !error && errno != EINTR)
        error = -errno;
    return error;
}

/* Have the directory that NAME is in reach the disk.  NAME is cut. */
static int sync_directory(char *name)
{
    char *slash = strrchr(name, '/');
    const char *directory = !slash ? "." : slash == name ? "/" : name;

    if (slash)
        slash[slash == name] = '\0';
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == EACCES ? 0 : -errno; /* one may write in it, and not look */
    int error = fsync(fd) == 0 || errno == EINVAL ? 0 : -errno;
    close(fd);
    return error;
}

static int write_all_body(void *argument, void *ret_result)
{
    struct replacement *const *at = argument;
    const struct replacement *request = *at;
    size_t name_size = strlen(request->path) + 64;
    char *name = asi_allocate(name_size);

    (void)ret_result;
    if (!name)
        return -ENOMEM;
    int fd = create_beside(request->path, request->mode, name, name_size);
    int error = fd < 0 ? fd : fill(fd, request);
    if (!error && rename(name, request->path) != 0)
        error = -errno;
    if (error && fd >= 0)
        (void)unlink(name);
    if (!error && sync_directory(name) != 0)
        error = -EINPROGRESS; /* it is there, but a crash may undo it */
    asi_free(name);
    return error;
}

/* --- the public calls ------------------------------------------------------------------------- */

FUNCTION(open, sizeof(struct request), sizeof(int));
FUNCTION(stat, sizeof(struct request), sizeof(struct stat));
FUNCTION(read_all, sizeof(struct request), sizeof(struct content));
FUNCTION(write_all, sizeof(struct replacement *), 0);

static void drop_fd(void *result)
{
    close(*(int *)result);
}

static void drop_content(void *result)
{
    asi_free(((struct content *)result)->bytes);
}

/* FUNCTION of REQUEST about PATH. */
static int on_path(const struct anysync_function *function, const char *verb, const char *path,
        struct request *request, void *ret_result, void (*drop)(void *result),
        anysync_time deadline)
{
    size_t size = strlen(path) + 1;
    int error = size > sizeof(request->path) ? -ENAMETOOLONG : may_begin(deadline);

    if (!error) {
        memcpy(request->path, path, size);
        error = perform(function, request, ret_result, true, drop, deadline);
    }
    return error ? refuse(error, verb, path) : 0;
}

int anysync_file_open(const char *path, int flags, mode_t mode, anysync_time deadline, int *ret_fd)
{
    struct request request = {.flags = flags, .mode = mode};
    int fd = -1;
    int error = on_path(&open_function, "opening", path, &request, &fd, drop_fd, deadline);

    if (!error)
        *ret_fd = fd;
    return error;
}

int anysync_file_stat(const char *path, anysync_time deadline, struct stat *ret_status)
{
    struct request request = {.flags = 0};
    struct stat status = {.st_size = 0};
    int error = on_path(&stat_function, "looking at", path, &request, &status, NULL, deadline);

    if (!error)
        *ret_status = status;
    return error;
}

int anysync_file_read_all(
        const char *path, size_t limit, anysync_time deadline, char **ret_bytes, size_t *ret_size)
{
    struct request request = {.limit = limit};
    struct content content = {.bytes = NULL};
    int error = on_path(
            &read_all_function, "reading", path, &request, &content, drop_content, deadline);

    if (error)
        return error;
    *ret_bytes = content.bytes;
    if (ret_size)
        *ret_size = content.size;
    return 0;
}

int anysync_file_write_all(
        const char *path, const void *bytes, size_t size, mode_t mode, anysync_time deadline)
{
    struct replacement replacement = {path, (char *)(uintptr_t)bytes, size, mode};
    struct replacement *at = &replacement;
    int error = may_begin(deadline);

    if (!error)
        error = perform(&write_all_function, &at, NULL, false, NULL, deadline);
    return error ? refuse(error, "replacing", path) : 0;
}
