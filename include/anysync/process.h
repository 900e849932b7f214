/* SPDX-License-Identifier: MIT */
/*
 * Child processes: start a program, talk to it through pipes, wait for its end with a deadline.
 *
 *      static char *const arguments[] = {"sort", "-n", NULL};
 *      struct anysync_command_options options = {.input = text, .input_size = strlen(text)};
 *      struct anysync_command_result result;
 *
 *      error = anysync_command_run(arguments, &options, anysync_in_seconds(5), &result);
 *      if (!error)
 *          error = anysync_ending_check("sort", &result.ending);     // "sort: exit status 2"
 *
 * ENDS  A child is waited for by a descriptor of its process (pidfd).  SIGCHLD is not touched and
 *   need not be delivered.  Where the system has no such descriptor a thread of the pool waits.
 *   The program itself should not wait for "any child", nor ignore SIGCHLD: the end of a child that
 *   somebody else has waited for is known, but not how it ended (-ECHILD).
 *
 * DROP  A child does not end because nobody looks any more: a wait that times out or is cancelled
 *   leaves it alone, and so does the last anysync_process_unref().  Whatever was dropped is waited
 *   for in the background, so that no zombie stays.
 *
 * SIGNALS  Children start with default handlers, and the signal mask the program had before the
 *   library.  Writing to a child that has ended raises SIGPIPE on a thread of the program, as for
 *   all pipes: ignore it.  (anysync_command_run() never raises it.)
 *
 * FORK  In a child made by fork() the parent's children are nobody's: -EOWNERDEAD.
 */
#ifndef ANYSYNC_PROCESS_H
#define ANYSYNC_PROCESS_H

#include <anysync/base.h>

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct anysync_process; /* opaque; reference-counted */

/* Where a standard stream of a child goes. */
enum anysync_stdio_kind {
    ANYSYNC_STDIO_INHERIT,    /* where that of this process goes */
    ANYSYNC_STDIO_NULL,       /* nowhere: /dev/null */
    ANYSYNC_STDIO_PIPE,       /* to anysync_process_take_pipe() */
    ANYSYNC_STDIO_DESCRIPTOR, /* to `fd` */
    ANYSYNC_STDIO_OUTPUT      /* for errors: where the output goes */
};

struct anysync_stdio {
    enum anysync_stdio_kind kind;
    int fd; /* for ANYSYNC_STDIO_DESCRIPTOR: borrowed for the call; close-on-exec may be set */
};

/* How a child is to start.  All zero is the default of everything. */
struct anysync_process_options {
    char *const *environment; /* NULL-terminated, "NAME=value"; borrowed; NULL: that of this one */
    const char *directory;    /* to start in; borrowed; NULL: that of this one.  A relative path of
                                 a program starts there. */
    struct anysync_stdio input, output, errors;
    bool own_group; /* a process group of its own: anysync_process_signal() reaches its children
                       too, and the terminal's keys do not reach it */
};

/* How a child ended. */
struct anysync_ending {
    bool exited; /* by itself, with `status`; else `signal` ended it */
    int status;  /* 0 to 255 */
    int signal;  /* 0 if it exited */
};

/*
 * Start a program.
 *
 * path         of the program, searched in this process's PATH when it has no slash; borrowed.
 * arguments    NULL-terminated, the first is the name; borrowed.
 * options      borrowed for the call; NULL: all defaults.
 * ret_process  owned by the caller: anysync_process_unref() it.
 *
 * Returns  0, -ENOMEM, -EMFILE, or why it could not be started: -ENOENT, -EACCES, -E2BIG, -EBADF (a
 *          descriptor of OPTIONS), -EAGAIN (too many processes).  The sentence names the program,
 *          and the directory where that is the reason.
 *
 * Thread   any, callbacks too.   Blocks  until the system has begun to run the program.
 */
ANYSYNC_API int anysync_process_new(const char *path, char *const *arguments,
        const struct anysync_process_options *options,
        struct anysync_process **ret_process) ANYSYNC_MUST_CHECK;

/* Take one more reference to PROCESS, and return it.  Any thread. */
ANYSYNC_API struct anysync_process *anysync_process_ref(struct anysync_process *process);

/* Drop a reference (consumed).  The last one closes the pipes that nobody took, and leaves the
 * child to itself: see DROP.  NULL is fine.  Returns NULL.  Any thread; never blocks, but for the
 * start of a thread. */
ANYSYNC_API struct anysync_process *anysync_process_unref(struct anysync_process *process);

/* The process id.  It is the child's until its end was waited for.  Any thread. */
ANYSYNC_API int anysync_process_id(const struct anysync_process *process);

/*
 * Take this process's end of a pipe: of input (NUMBER is 0, to write to), output (1) or errors (2,
 * to read from).  It does not block and is closed by exec: use anysync_read() and anysync_write().
 *
 * Returns  the descriptor, which is the caller's to close; -1 if there was none, or it was taken.
 * Thread   any, one at a time.
 */
ANYSYNC_API int anysync_process_take_pipe(struct anysync_process *process, int number);

/*
 * Wait until the child has ended.  Pipes may hold what it wrote before.
 *
 * ret_ending  how; NULL not to know.
 *
 * Returns     0  it has ended, now or before.
 *    -ETIMEDOUT  DEADLINE passed first.  It lives.
 *    -ECANCELED  the calling task was cancelled.  It lives.
 *       -ECHILD  it has ended, and somebody else has waited for it.
 *      -EDEADLK  called by a callback of a loop, and it lives.
 *   -EOWNERDEAD  it is a child of the process this one was forked from.
 *      -EAGAIN, -ENOMEM  without pidfd only: no thread to wait with.
 *
 * Thread  any, tasks too; any number of waiters, any number of times.
 * Blocks  a thread; suspends a coroutine.   Cancel  cancellation point; nothing is lost.
 */
ANYSYNC_API int anysync_process_wait(struct anysync_process *process, anysync_time deadline,
        struct anysync_ending *ret_ending) ANYSYNC_MUST_CHECK;

/*
 * Send signal NUMBER to the child; with the option own_group to all of its group.  SIGKILL ends it
 * for sure; wait for that.
 *
 * Returns  0; -ESRCH: its end was waited for (never another process that has its number now);
 *          -EINVAL, -EPERM; -EOWNERDEAD as for the wait.
 * Thread   any, callbacks too.   Blocks  never.
 */
ANYSYNC_API int anysync_process_signal(struct anysync_process *process, int number);

/* 0 if ENDING is that of a program that went well (exit status 0); else -EIO, with the sentence
 * "NAME: exit status 2" or "NAME: ended by signal 9 (SIGKILL)".  Any thread. */
ANYSYNC_API int anysync_ending_check(const char *name, const struct anysync_ending *ending);

/*
 * Start a program, and leave it to the caller: waiting for it is the caller's duty.  Streams,
 * environment and directory are those of this process.
 *
 * path, arguments  as for anysync_process_new().
 * ret_pid          its process id.
 *
 * Returns, Thread, Blocks  as anysync_process_new().
 */
ANYSYNC_API int anysync_process_start(
        const char *path, char *const *arguments, int *ret_pid) ANYSYNC_MUST_CHECK;

/* --- a command from beginning to end ---------------------------------------------------------- */

struct anysync_command_options {
    char *const *environment; /* as in struct anysync_process_options */
    const char *directory;    /* likewise */
    bool own_group;           /* likewise: what is killed is the group */
    bool join_errors;         /* errors go to the output, in the order they are written */
    const void *input;        /* what it can read; borrowed for the call; NULL: nothing */
    size_t input_size;        /* bytes */
    size_t limit;             /* bytes of output, and of errors, at most; 0: one MiB */
};

struct anysync_command_result {
    struct anysync_ending ending;
    char *output; /* owned: anysync_command_clear(); a zero byte follows, so it is a string too */
    size_t output_size;
    char *errors; /* likewise; empty if they were joined */
    size_t errors_size;
};

/*
 * Run a command, give it its input, and collect what it writes until it has ended and closed its
 * output.  (If its own children keep that open, it is waited for.)  A command that does not read
 * all of its input is fine.
 *
 * arguments   NULL-terminated, the first is the program, as path of anysync_process_new().
 * options     borrowed for the call; NULL: all defaults.
 * ret_result  how it ended, whatever the status: see anysync_ending_check(); and what it wrote.
 *             anysync_command_clear() it.
 *
 * Returns     0  it ran to its end.
 *    -ETIMEDOUT  DEADLINE passed: it was killed, and what it wrote is gone.
 *    -ECANCELED  the calling task was cancelled: likewise.
 *     -EMSGSIZE  it wrote more than the limit: likewise.
 *      -EDEADLK  called by a callback of a loop; nothing was started.
 *   other        as anysync_process_new(); -ENOMEM: it was killed, if it had started.
 *   The sentence names the command.
 *
 * Thread  any, tasks too.   Blocks  a thread; suspends a coroutine.
 * Cancel  cancellation point.  The end of a killed command is waited for up to one second.
 */
ANYSYNC_API int anysync_command_run(char *const *arguments,
        const struct anysync_command_options *options, anysync_time deadline,
        struct anysync_command_result *ret_result) ANYSYNC_MUST_CHECK;

/* Free what RESULT holds.  Any thread. */
ANYSYNC_API void anysync_command_clear(struct anysync_command_result *result);

#ifdef __cplusplus
}
#endif

#endif
