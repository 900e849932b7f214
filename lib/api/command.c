/* SPDX-License-Identifier: MIT */
/*
 * A command from beginning to end.
 *
 * Its three pipes are in an epoll set of their own, which is one descriptor to wait for: so one
 * loop serves threads and coroutines, and the child is never stuck on a pipe that nobody looks at.
 * The set tells of a pipe as long as it is ready, so each round does one piece of each.
 *
 *   started --- pipes closed by the child ---> its end is waited for ---> the result
 *      \_____________ deadline, cancel, limit, no memory: killed ________/
 */
#include <anysync/process.h>

#include "base/clock.h"
#include "base/memory.h"
#include "sched/error.h"
#include "sched/scope.h"
#include "sched/wait.h"
#include "thread/thread.h"

#include <anysync/cancel.h>
#include <anysync/io.h>
#include <anysync/task.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { FIRST_SIZE = 4096, DEFAULT_LIMIT = 1 << 20, STREAMS = 3 };

/* One pipe.  Input uses `size` for what was written. */
struct stream {
    int fd; /* owned; -1: closed */
    char *bytes;
    size_t size, room;
};

struct exchange {
    const struct anysync_command_options *options;
    const char *name;
    struct anysync_process *process;
    struct stream streams[STREAMS];
    int epoll;
    size_t limit;
};

static const struct anysync_command_options no_options;

/* --- pipes ------------------------------------------------------------------------------------ */

/* A close alone would leave it in the set as long as a child that another thread just starts has a
 * copy of it, until its exec(). */
static void close_stream(struct exchange *exchange, struct stream *stream)
{
    if (stream->fd < 0)
        return;
    (void)epoll_ctl(exchange->epoll, EPOLL_CTL_DEL, stream->fd, NULL);
    close(stream->fd);
    stream->fd = -1;
}

static int feed(struct exchange *exchange, struct stream *stream)
{
    const char *input = exchange->options->input;
    ssize_t count = 0;

    if (stream->size < exchange->options->input_size)
        count = asi_thread_write_quietly(
                stream->fd, input + stream->size, exchange->options->input_size - stream->size);
    if (count < 0 && count != -EPIPE)
        return count == -EAGAIN || count == -EINTR ? 0 : (int)count;
    if (count >= 0)
        stream->size += (size_t)count;
    if (count == -EPIPE || stream->size == exchange->options->input_size)
        close_stream(exchange, stream);
    return 0;
}

/* Room for one byte more than there is, and the zero behind it. */
static int grow(struct stream *stream)
{
    size_t room = stream->room ? stream->room * 2 : FIRST_SIZE;

    if (stream->room > stream->size + 1)
        return 0;
    char *bytes = asi_allocate(room);
    if (!bytes)
        return -ENOMEM;
    if (stream->size)
        memcpy(bytes, stream->bytes, stream->size);
    asi_free(stream->bytes);
    stream->bytes = bytes;
    stream->room = room;
    return 0;
}

static int collect(struct exchange *exchange, struct stream *stream)
{
    int error = grow(stream);

    if (error)
        return error;
    ssize_t count = read(stream->fd, stream->bytes + stream->size, stream->room - stream->size - 1);
    if (count < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    if (count == 0)
        close_stream(exchange, stream);
    stream->size += (size_t)count;
    return stream->size > exchange->limit ? -EMSGSIZE : 0;
}

static int serve(struct exchange *exchange)
{
    struct epoll_event events[STREAMS];
    int count = epoll_wait(exchange->epoll, events, STREAMS, 0);
    int error = count < 0 && errno != EINTR ? -errno : 0;

    for (int i = 0; i < count && !error; i++) {
        struct stream *stream = &exchange->streams[events[i].data.u32];
        error = events[i].data.u32 == 0 ? feed(exchange, stream) : collect(exchange, stream);
    }
    return error;
}

/* Pipes that are always ready must neither hold up a loop, nor hide a deadline. */
static int breathe(anysync_time deadline)
{
    if (asi_world() == ASI_WORLD_TASK) {
        int error = anysync_yield();
        if (error)
            return error;
        return anysync_now() < deadline ? 0 : -ETIMEDOUT;
    }
    return anysync_now() < asi_scope_limit(deadline) ? 0 : asi_scope_why(deadline);
}

static int talk(struct exchange *exchange, anysync_time deadline)
{
    while (exchange->streams[0].fd >= 0 || exchange->streams[1].fd >= 0 ||
            exchange->streams[2].fd >= 0) {
        int ready = anysync_wait_fd(exchange->epoll, ANYSYNC_READABLE, deadline);
        int error = ready < 0 ? ready : serve(exchange);
        if (!error)
            error = breathe(deadline);
        if (error)
            return error;
    }
    return 0;
}

/* --- beginning and end ------------------------------------------------------------------------ */

static int watch_streams(struct exchange *exchange)
{
    exchange->epoll = asi_fault("epoll") ? -1 : epoll_create1(EPOLL_CLOEXEC);
    if (exchange->epoll < 0)
        return asi_call_fails(
                -EMFILE, "%s could not be started: no descriptor to watch it with", exchange->name);
    return 0;
}

static int take_streams(struct exchange *exchange)
{
    for (uint32_t i = 0; i < STREAMS; i++) {
        struct epoll_event event = {.events = i == 0 ? EPOLLOUT : EPOLLIN, .data.u32 = i};
        int fd = anysync_process_take_pipe(exchange->process, (int)i);
        exchange->streams[i].fd = fd;
        if (fd >= 0 && epoll_ctl(exchange->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
            return -errno;
    }
    return 0;
}

static int start(struct exchange *exchange, char *const *arguments)
{
    const struct anysync_command_options *options = exchange->options;
    const struct anysync_process_options how = {
            .environment = options->environment,
            .directory = options->directory,
            .own_group = options->own_group,
            .input.kind = options->input ? ANYSYNC_STDIO_PIPE : ANYSYNC_STDIO_NULL,
            .output.kind = ANYSYNC_STDIO_PIPE,
            .errors.kind = options->join_errors ? ANYSYNC_STDIO_OUTPUT : ANYSYNC_STDIO_PIPE,
    };
    int error = watch_streams(exchange);

    if (!error)
        error = anysync_process_new(arguments[0], arguments, &how, &exchange->process);
    return error;
}

/* Kill it, and give it a second to be gone: what a disk or debugger holds is left behind. */
static void end_it(struct exchange *exchange)
{
    struct anysync_scope shield;
    int error;

    (void)anysync_process_signal(exchange->process, SIGKILL);
    anysync_shield_enter(&shield, ANYSYNC_FOREVER);
    error = anysync_process_wait(exchange->process, anysync_in_seconds(1), NULL);
    anysync_scope_exit(&shield, error);
}

static int cut_short(struct exchange *exchange, int error)
{
    if (error == -EMSGSIZE)
        return asi_call_fails(error, "%s wrote more than %zu bytes, and was killed", exchange->name,
                exchange->limit);
    return asi_call_fails(error, "%s was killed: %s", exchange->name,
            error == -ECANCELED ? "its caller was cancelled" : anysync_error_text(error));
}

static int run(
        struct exchange *exchange, anysync_time deadline, struct anysync_command_result *ret_result)
{
    struct anysync_ending ending = {.exited = false};
    int error = take_streams(exchange);

    if (!error)
        error = grow(&exchange->streams[1]);
    if (!error)
        error = grow(&exchange->streams[2]);
    if (!error)
        error = talk(exchange, deadline);
    if (!error)
        error = anysync_process_wait(exchange->process, deadline, &ending);
    if (error == -ECHILD) /* its own sentence */
        return error;
    if (error) {
        end_it(exchange);
        return cut_short(exchange, error);
    }
    for (int i = 1; i < STREAMS; i++)
        exchange->streams[i].bytes[exchange->streams[i].size] = '\0';
    *ret_result = (struct anysync_command_result){ending, exchange->streams[1].bytes,
            exchange->streams[1].size, exchange->streams[2].bytes, exchange->streams[2].size};
    exchange->streams[1].bytes = exchange->streams[2].bytes = NULL;
    return 0;
}

/* Whether the caller may wait: 0, or why not. */
static int may_run(const char *name)
{
    int error = asi_world() == ASI_WORLD_TASK ? asi_wait_checkpoint() : 0;

    if (asi_world() == ASI_WORLD_CALLBACK)
        return asi_call_fails(-EDEADLK,
                "a callback of the loop cannot wait for %s: spawn a coroutine that does", name);
    return error ? asi_call_fails(error, "%s was not started: %s", name, anysync_error_text(error))
                 : 0;
}

int anysync_command_run(char *const *arguments, const struct anysync_command_options *options,
        anysync_time deadline, struct anysync_command_result *ret_result)
{
    ASI_ASSERT(arguments && arguments[0], "a command needs a name");
    struct exchange exchange = {.options = options ? options : &no_options,
            .name = arguments[0],
            .streams = {{.fd = -1}, {.fd = -1}, {.fd = -1}},
            .epoll = -1};
    exchange.limit = exchange.options->limit ? exchange.options->limit : DEFAULT_LIMIT;
    int error = may_run(exchange.name);

    if (error)
        return error;
    error = start(&exchange, arguments);
    if (!error)
        error = run(&exchange, deadline, ret_result);
    for (int i = 0; i < STREAMS; i++) {
        close_stream(&exchange, &exchange.streams[i]);
        asi_free(exchange.streams[i].bytes);
    }
    if (exchange.epoll >= 0)
        close(exchange.epoll);
    anysync_process_unref(exchange.process);
    return error;
}

void anysync_command_clear(struct anysync_command_result *result)
{
    anysync_free(result->output);
    anysync_free(result->errors);
    *result = (struct anysync_command_result){.output = NULL};
}

/* --- what became of it ------------------------------------------------------------------------ */

/* strsignal() is not for threads everywhere. */
static const char *name_of_signal(int number)
{
    static const char *const names[] = {[SIGHUP] = "SIGHUP",
            [SIGINT] = "SIGINT",
            [SIGQUIT] = "SIGQUIT",
            [SIGILL] = "SIGILL",
            [SIGTRAP] = "SIGTRAP",
            [SIGABRT] = "SIGABRT",
            [SIGBUS] = "SIGBUS",
            [SIGFPE] = "SIGFPE",
            [SIGKILL] = "SIGKILL",
            [SIGUSR1] = "SIGUSR1",
            [SIGSEGV] = "SIGSEGV",
            [SIGUSR2] = "SIGUSR2",
            [SIGPIPE] = "SIGPIPE",
            [SIGALRM] = "SIGALRM",
            [SIGTERM] = "SIGTERM",
            [SIGXCPU] = "SIGXCPU",
            [SIGXFSZ] = "SIGXFSZ",
            [SIGSYS] = "SIGSYS"};

    bool known = number > 0 && number < (int)(sizeof(names) / sizeof(*names)) && names[number];
    return known ? names[number] : "another one";
}

int anysync_ending_check(const char *name, const struct anysync_ending *ending)
{
    if (ending->exited && ending->status == 0)
        return 0;
    if (ending->exited)
        return asi_call_fails(-EIO, "%s: exit status %d", name, ending->status);
    return asi_call_fails(-EIO, "%s: ended by signal %d (%s)", name, ending->signal,
            name_of_signal(ending->signal));
}
