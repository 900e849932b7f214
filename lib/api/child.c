/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* environ, pipe2(), posix_spawn_file_actions_addchdir_np(), syscall() */
/*
 * Child processes.
 *
 * START  posix_spawn(): no handler of fork() runs, no lock is taken, and what goes wrong in the
 *   child up to its exec() comes back as a code.  A descriptor that is to become 0, 1 or 2 and is
 *   itself one of these is copied out of the way first, so that none is overwritten before it was
 *   used (out to errors and errors to output at once, say).
 *
 * WAIT  The process's descriptor is readable from the end of the child on; whoever is woken first
 *   reaps it, under the lock, and notes how it ended.  Signals are sent under the same lock and
 *   only before that, so they never reach another process with that number.  Without a descriptor a
 *   job sleeps in waitid(), without reaping.
 *
 * DROP  With the last reference the record joins a list that each later start and drop looks
 *   through, and so does a job that sleeps until the child has ended: a thread each, but such
 *   children are few.  If no thread is to be had, which may turn out only while the job is in its
 *   pool's queue, it is one of the others that reaps the child.
 */
#include <anysync/process.h>

#include "base/memory.h"
#include "sched/error.h"
#include "sched/job.h"
#include "sched/limiter.h"
#include "sched/wait.h"
#include "thread/flag.h"
#include "thread/fork.h"
#include "thread/lock.h"
#include "thread/once.h"
#include "thread/refs.h"
#include "thread/thread.h"

#include <anysync/io.h>
#include <anysync/offload.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NAME_SIZE = 128 };

/* The same number on every processor of Linux; older headers do not know it. */
#if !defined(SYS_pidfd_open)
#define SYS_pidfd_open 434
#endif
#if !defined(SYS_pidfd_send_signal)
#define SYS_pidfd_send_signal 424
#endif
#if !defined(P_PIDFD)
#define P_PIDFD 3
#endif

struct anysync_process {
    struct asi_refs refs;
    struct asi_lock lock;
    uint32_t generation;            /* [const] of the process whose child it is */
    pid_t pid;                      /* [const] */
    int pidfd;                      /* [const] -1: there is none */
    bool own_group;                 /* [const] */
    bool over;                      /* [lock] it was reaped */
    bool lost;                      /* [lock] by somebody else */
    struct anysync_ending ending;   /* [lock] if it is over and not lost */
    struct anysync_future *watch;   /* [lock] a job that waits; NULL: none was needed */
    int pipes[3];                   /* -1: none, or taken */
    struct anysync_process *orphan; /* [orphans lock] the next one */
    char name[NAME_SIZE];           /* [const] for sentences */
};

/* --- starting --------------------------------------------------------------------------------- */

/* What a start needs, and what of it is to be closed afterwards. */
struct plan {
    posix_spawn_file_actions_t actions;
    int source[3]; /* what becomes 0, 1 and 2; -1: what is there */
    int ours[3];   /* our ends of pipes; -1: none */
    int closes[6];
    int close_count;
};

static const char *const stream_names[3] = {"input", "output", "errors"};

static int no_stream(const char *path, int number, int error)
{
    return asi_call_fails(error, "%s could not be started: its %s: %s", path, stream_names[number],
            anysync_error_text(error));
}

static int open_pipe(struct plan *plan, int number)
{
    int ends[2];

    if (asi_fault("pipe"))
        return -EMFILE;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -errno;
    plan->ours[number] = ends[number == 0];
    plan->source[number] = ends[number != 0];
    plan->closes[plan->close_count++] = plan->source[number];
    (void)fcntl(plan->ours[number], F_SETFL, O_NONBLOCK); /* only ours: each end is a file */
    return 0;
}

static int plan_stream(struct plan *plan, int number, const struct anysync_stdio *stream)
{
    int *source = &plan->source[number];
    int error = 0;

    switch (stream->kind) {
    case ANYSYNC_STDIO_INHERIT:
        return 0;
    case ANYSYNC_STDIO_OUTPUT: /* which is in its place by then */
        if (number != 2)
            return -EINVAL;
        *source = 1;
        return 0;
    case ANYSYNC_STDIO_NULL:
        *source = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (*source < 0)
            return -errno;
        plan->closes[plan->close_count++] = *source;
        break;
    case ANYSYNC_STDIO_PIPE:
        error = open_pipe(plan, number);
        break;
    case ANYSYNC_STDIO_DESCRIPTOR:
        *source = stream->fd;
        error = fcntl(*source, F_GETFD) < 0 ? -errno : 0;
        break;
    default:
        return -EINVAL;
    }
    if (error || *source > 2 || *source == number)
        return error;
    *source = fcntl(*source, F_DUPFD_CLOEXEC, 3);
    if (*source < 0)
        return -errno;
    plan->closes[plan->close_count++] = *source;
    return 0;
}

static int plan_streams(
        struct plan *plan, const char *path, const struct anysync_process_options *options)
{
    const struct anysync_stdio *streams[3] = {&options->input, &options->output, &options->errors};

    for (int i = 0; i < 3; i++) {
        int error = plan_stream(plan, i, streams[i]);
        if (error)
            return no_stream(path, i, error);
    }
    for (int i = 0; i < 3; i++) {
        if (plan->source[i] >= 0 &&
                posix_spawn_file_actions_adddup2(&plan->actions, plan->source[i], i) != 0)
            return asi_call_fails(-ENOMEM, "no memory to start %s", path);
    }
    if (options->directory &&
            posix_spawn_file_actions_addchdir_np(&plan->actions, options->directory) != 0)
        return asi_call_fails(-ENOMEM, "no memory to start %s", path);
    return 0;
}

/* posix_spawn() does not tell whether it was the directory. */
static int not_started(const char *path, const struct anysync_process_options *options, int error)
{
    if (options->directory && access(options->directory, X_OK) != 0)
        return asi_call_fails(error, "%s could not be started in %s: %s", path, options->directory,
                anysync_error_text(-errno));
    return asi_call_fails(error, "%s could not be started: %s", path, anysync_error_text(error));
}

static int spawn(struct plan *plan, const char *path, char *const *arguments,
        const struct anysync_process_options *options, pid_t *ret_pid)
{
    posix_spawnattr_t attributes;
    sigset_t mask, all;
    int error = plan_streams(plan, path, options);

    if (error)
        return error;
    if (posix_spawnattr_init(&attributes) != 0)
        return asi_call_fails(-ENOMEM, "no memory to start %s", path);
    asi_thread_clean_mask(&mask);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &mask);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(
            &attributes, (short)(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                 (options->own_group ? POSIX_SPAWN_SETPGROUP : 0)));
    error = asi_fault("spawn") ? EAGAIN
                               : posix_spawnp(ret_pid, path, &plan->actions, &attributes, arguments,
                                         options->environment ? options->environment : environ);
    posix_spawnattr_destroy(&attributes);
    return error ? not_started(path, options, -error) : 0;
}

/* Start a program.  RET_PIPES: our ends, owned by the caller. */
static int start(const char *path, char *const *arguments,
        const struct anysync_process_options *options, pid_t *ret_pid, int ret_pipes[3])
{
    struct plan plan = {.source = {-1, -1, -1}, .ours = {-1, -1, -1}};

    ASI_ASSERT(path && arguments && arguments[0], "a program needs a path, and its name");
    if (posix_spawn_file_actions_init(&plan.actions) != 0)
        return asi_call_fails(-ENOMEM, "no memory to start %s", path);
    int error = spawn(&plan, path, arguments, options, ret_pid);
    posix_spawn_file_actions_destroy(&plan.actions);
    for (int i = 0; i < plan.close_count; i++)
        close(plan.closes[i]);
    for (int i = 0; i < 3; i++) {
        if (!error)
            ret_pipes[i] = plan.ours[i];
        else if (plan.ours[i] >= 0)
            close(plan.ours[i]);
    }
    return error;
}

static const struct anysync_process_options no_options;

int anysync_process_start(const char *path, char *const *arguments, int *ret_pid)
{
    int pipes[3];
    pid_t pid;
    int error = start(path, arguments, &no_options, &pid, pipes);

    if (!error)
        *ret_pid = (int)pid;
    return error;
}

/* --- the end of a child ----------------------------------------------------------------------- */

/* Reap PROCESS's child if it has ended.  Returns whether it is over. */
static bool reap(struct anysync_process *process)
{
    siginfo_t info = {.si_pid = 0};
    int error = -1;

    do {
        errno = EINVAL;
        if (process->pidfd >= 0)
            error = waitid((idtype_t)P_PIDFD, (id_t)process->pidfd, &info, WEXITED | WNOHANG);
        if (error && errno == EINVAL) /* no descriptor, or Linux 5.3 */
            error = waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOHANG);
    } while (error && errno == EINTR);
    if (!error && info.si_pid == 0)
        return false;
    process->over = true;
    process->lost = error;
    process->ending = (struct anysync_ending){.exited = info.si_code == CLD_EXITED,
            .status = info.si_code == CLD_EXITED ? info.si_status : 0,
            .signal = info.si_code == CLD_EXITED ? 0 : info.si_status};
    return true;
}

/* Whether PROCESS's child has ended; RET_ENDING then tells how.  Returns 0: it lives; ANYSYNC_DONE;
 * or -ECHILD. */
static int look(struct anysync_process *process, struct anysync_ending *ret_ending)
{
    asi_lock_take(&process->lock);
    bool over = process->over || reap(process);
    bool lost = process->lost;
    if (over && !lost && ret_ending)
        *ret_ending = process->ending;
    asi_lock_give(&process->lock);
    return !over ? 0 : lost ? -ECHILD : ANYSYNC_DONE;
}

static void free_process(struct anysync_process *process)
{
    for (int i = 0; i < 3; i++) {
        if (process->pipes[i] >= 0)
            close(process->pipes[i]);
    }
    if (process->pidfd >= 0)
        close(process->pidfd);
    anysync_future_unref(process->watch);
    asi_free(process);
}

/* --- jobs that wait --------------------------------------------------------------------------- */

static int start_job(const struct anysync_function *function, const void *argument,
        struct anysync_future **ret_future)
{
    /* Children end when they like. */
    const struct anysync_offload_options options = {.limiter = asi_limiter_unlimited()};

    return anysync_offload_start(function, argument, &options, ret_future);
}

static int watch_body(void *argument, void *ret_result)
{
    const pid_t *pid = argument;
    siginfo_t info;

    (void)ret_result;
    while (waitid(P_PID, (id_t)*pid, &info, WEXITED | WNOWAIT) != 0 && errno == EINTR)
        ;
    return 0;
}

static const struct anysync_function watch_function = {
        "watch_child", __FILE__, __LINE__, watch_body, sizeof(pid_t), 0, 0, ANYSYNC_KIND_BLOCKING};

/* A reference to the job that waits for PROCESS's child. */
static int get_watch(struct anysync_process *process, struct anysync_future **ret_watch)
{
    struct anysync_future *watch = NULL, *mine = NULL;

    asi_lock_take(&process->lock);
    if (process->watch)
        watch = anysync_future_ref(process->watch);
    asi_lock_give(&process->lock);
    if (!watch) {
        int error = start_job(&watch_function, &process->pid, &mine);
        if (error)
            return error;
        asi_lock_take(&process->lock);
        if (!process->watch) {
            process->watch = mine;
            mine = NULL;
        }
        watch = anysync_future_ref(process->watch);
        asi_lock_give(&process->lock);
        anysync_future_unref(mine); /* somebody was first: it ends with the child, too */
    }
    *ret_watch = watch;
    return 0;
}

/* WATCH, a job that waits for PROCESS's child, is done.  One that got no thread after all is not
 * waited for again. */
static void look_at_watch(struct anysync_process *process, struct anysync_future *watch)
{
    if (anysync_future_result(watch, NULL) == 0)
        return;
    asi_lock_take(&process->lock);
    bool is_its = process->watch == watch;
    if (is_its)
        process->watch = NULL;
    asi_lock_give(&process->lock);
    if (is_its)
        anysync_future_unref(watch);
}

/* --- orphans ---------------------------------------------------------------------------------- */

static struct asi_lock orphans_lock = ASI_LOCK_INIT;
static struct anysync_process *orphans; /* [orphans lock] */

static void before_fork(void)
{
    asi_lock_take(&orphans_lock);
}

static void after_fork(void)
{
    asi_lock_give(&orphans_lock);
}

static void prepare(void)
{
    static const struct asi_fork_part part = {before_fork, NULL, after_fork};

    asi_fork_add(&part);
}

static void lock_orphans(void)
{
    static struct asi_once once = ASI_ONCE_INIT;

    asi_once_run(&once, prepare);
    asi_lock_take(&orphans_lock);
}

/* Reap the orphans that have ended. */
static void sweep(void)
{
    lock_orphans();
    for (struct anysync_process **at = &orphans; *at;) {
        struct anysync_process *process = *at;
        if (process->generation == asi_fork_generation && !reap(process)) {
            at = &process->orphan;
            continue;
        }
        *at = process->orphan;
        free_process(process);
    }
    asi_lock_give(&orphans_lock);
}

static int bury_body(void *argument, void *ret_result)
{
    (void)watch_body(argument, ret_result);
    sweep();
    return 0;
}

static const struct anysync_function bury_function = {
        "reap_child", __FILE__, __LINE__, bury_body, sizeof(pid_t), 0, 0, ANYSYNC_KIND_BLOCKING};

/* PROCESS (consumed) has no references, and its child lives. */
static void drop(struct anysync_process *process)
{
    pid_t pid = process->pid;

    for (int i = 0; i < 3; i++) { /* a child that reads or writes has to know */
        if (process->pipes[i] >= 0)
            close(process->pipes[i]);
        process->pipes[i] = -1;
    }
    process->watch = anysync_future_unref(process->watch); /* not in the lock: it may be reported */
    lock_orphans();
    process->orphan = orphans;
    orphans = process;
    asi_lock_give(&orphans_lock);
    (void)start_job(&bury_function, &pid, NULL); /* without a job: see DROP */
}

/* --- the public calls ------------------------------------------------------------------------- */

static int open_pidfd(pid_t pid)
{
    if (asi_fault("pidfd"))
        return -1;
    return (int)syscall(SYS_pidfd_open, pid, 0); /* close-on-exec */
}

int anysync_process_new(const char *path, char *const *arguments,
        const struct anysync_process_options *options, struct anysync_process **ret_process)
{
    struct anysync_process *process = asi_allocate_zero(sizeof(*process));

    if (!process)
        return asi_call_fails(-ENOMEM, "no memory to start %s", path);
    sweep();
    options = options ? options : &no_options;
    int error = start(path, arguments, options, &process->pid, process->pipes);
    if (error) {
        asi_free(process);
        return error;
    }
    asi_refs_init(&process->refs, 1);
    process->lock = (struct asi_lock)ASI_LOCK_INIT;
    process->generation = asi_fork_generation;
    process->own_group = options->own_group;
    process->pidfd = open_pidfd(process->pid);
    (void)snprintf(process->name, sizeof(process->name), "%s", path);
    *ret_process = process;
    return 0;
}

struct anysync_process *anysync_process_ref(struct anysync_process *process)
{
    asi_refs_add(&process->refs);
    return process;
}

struct anysync_process *anysync_process_unref(struct anysync_process *process)
{
    if (!process || !asi_refs_drop(&process->refs))
        return NULL;
    if (process->generation != asi_fork_generation) {
        free_process(process);
        return NULL;
    }
    if (process->over || reap(process))
        free_process(process);
    else
        drop(process);
    sweep();
    return NULL;
}

int anysync_process_id(const struct anysync_process *process)
{
    return (int)process->pid;
}

int anysync_process_take_pipe(struct anysync_process *process, int number)
{
    ASI_ASSERT(number >= 0 && number <= 2, "the pipes of a process are 0, 1 and 2");
    int fd = process->pipes[number];

    process->pipes[number] = -1;
    return fd;
}

static int not_ours(const struct anysync_process *process)
{
    return asi_call_fails(
            -EOWNERDEAD, "%s is a child of the process this one was forked from", process->name);
}

/* Wait for news of PROCESS.  *AGAIN: its descriptor told of the end before, but it was not to be
 * reaped: a debugger is in between. */
static int wait_for_news(struct anysync_process *process, anysync_time deadline, bool *again)
{
    struct anysync_future *watch;

    if (asi_world() == ASI_WORLD_CALLBACK)
        return -EDEADLK;
    if (process->pidfd >= 0 && !*again) {
        int ready = anysync_wait_fd(process->pidfd, ANYSYNC_READABLE, deadline);
        *again = ready > 0;
        return ready < 0 ? ready : 0;
    }
    if (deadline == ANYSYNC_POLL)
        return -ETIMEDOUT;
    int error = get_watch(process, &watch);
    if (error)
        return error;
    error = anysync_future_wait(watch, deadline);
    if (!error)
        look_at_watch(process, watch);
    anysync_future_unref(watch);
    return error;
}

int anysync_process_wait(
        struct anysync_process *process, anysync_time deadline, struct anysync_ending *ret_ending)
{
    bool again = false;
    int state;

    if (process->generation != asi_fork_generation)
        return not_ours(process);
    while ((state = look(process, ret_ending)) == 0) {
        int error = wait_for_news(process, deadline, &again);
        if (error)
            return asi_call_fails(error, "%s (process %d) has not ended: %s", process->name,
                    (int)process->pid,
                    error == -EDEADLK ? "and a callback of the loop cannot wait for that"
                                      : anysync_error_text(error));
    }
    if (state == -ECHILD)
        return asi_call_fails(-ECHILD,
                "%s (process %d) has ended, but how is not known: somebody else waited for it, or "
                "SIGCHLD is ignored",
                process->name, (int)process->pid);
    return 0;
}

/* [lock] */
static int send_signal(struct anysync_process *process, int number)
{
    if (process->over)
        return -ESRCH;
    if (process->own_group)
        return kill(-process->pid, number) ? -errno : 0;
    if (process->pidfd >= 0 && syscall(SYS_pidfd_send_signal, process->pidfd, number, NULL, 0) == 0)
        return 0;
    if (process->pidfd >= 0 && errno != ENOSYS)
        return -errno;
    return kill(process->pid, number) ? -errno : 0;
}

int anysync_process_signal(struct anysync_process *process, int number)
{
    if (process->generation != asi_fork_generation)
        return not_ours(process);
    asi_lock_take(&process->lock);
    int error = send_signal(process, number);
    asi_lock_give(&process->lock);
    if (!error)
        return 0;
    return asi_call_fails(error, "signal %d was not sent to %s (process %d): %s", number,
            process->name, (int)process->pid,
            error == -ESRCH ? "it has ended" : anysync_error_text(error));
}
