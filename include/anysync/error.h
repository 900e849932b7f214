/* SPDX-License-Identifier: MIT */
/*
 * Errors: a code that is returned, and a sentence that goes with it.
 *
 * The code is the return value, always.  The sentence, the place that failed and the chain of
 * callers wait in a slot of their own: each task has one, and each thread has one for its code
 * outside tasks. Coroutines that share a thread therefore never see each other's sentences, and a
 * sentence stays until the next failing call of the same task or thread.
 *
 *      error = fetch(&page, url);
 *      if (error)
 *          fprintf(stderr, "%s\n", anysync_last_error()->message);
 */
#ifndef ANYSYNC_ERROR_H
#define ANYSYNC_ERROR_H

#include <anysync/base.h>

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Who failed: the waiting call itself, or the task it waited for. */
enum anysync_origin {
    ANYSYNC_ORIGIN_NONE, /* nothing has failed yet */
    ANYSYNC_ORIGIN_CALL, /* the call: a deadline, a cancel, bad arguments, no memory */
    ANYSYNC_ORIGIN_TASK  /* the body of the task returned this code */
};

/* One step of the chain from the place that failed out to the caller that asks. */
struct anysync_frame {
    const struct anysync_frame *outer; /* who called this one; NULL at the end */
    const char *function;              /* name of the coroutine function */
    const char *file;                  /* where that function is defined */
    int line;
    const char *thread; /* name of the executor or loop that ran it */
};

/* Why a call failed.  All strings and frames are borrowed from the slot or future that holds it. */
struct anysync_error {
    int code;                           /* the negative code; 0 when nothing failed */
    enum anysync_origin origin;         /* who failed */
    const char *message;                /* one sentence without a newline; never NULL */
    const char *function;               /* the function that failed; never NULL, perhaps "" */
    const char *file;                   /* where it failed; never NULL, perhaps "" */
    int line;                           /* 0 when not known */
    const struct anysync_frame *frames; /* the tasks it passed through, innermost first; or NULL */
    const struct anysync_error *cause;  /* the failure that this one came on top of; or NULL */
    const struct anysync_error *next; /* of a group: its next failure, in order of time; or NULL */
};

/*
 * Say why this task or thread fails, and return CODE, so that a body can write
 *
 *      return anysync_fail(-ENOENT, "no page named %s", name);
 *
 * code    negative; returned unchanged.
 * format  as printf; the sentence is at most 511 bytes, longer ones are cut.
 *
 * Returns  CODE, also when there is no memory for the sentence (the code's general one is kept).
 * Thread   any, inside tasks and outside.
 */
#define anysync_fail(code, ...) anysync_fail_at(code, __func__, __FILE__, __LINE__, __VA_ARGS__)

/* What anysync_fail() calls.  FUNCTION and FILE are kept as pointers: give literals. */
ANYSYNC_API int anysync_fail_at(int code, const char *function, const char *file, int line,
        const char *format, ...) ANYSYNC_PRINTF(5, 6);

/*
 * The most recent failure of this task, or of this thread outside tasks.
 *
 * Returns  never NULL; code 0 and an empty message when nothing failed yet.  Borrowed: valid until
 *          the next failing anysync call of the same task or thread.
 * Thread   any.
 */
ANYSYNC_API const struct anysync_error *anysync_last_error(void);

/* The general sentence of a code: "the deadline passed" for -ETIMEDOUT.  Literal; any thread. */
ANYSYNC_API const char *anysync_error_text(int code);

/* The name of a code, as "-ETIMEDOUT"; "0", "ANYSYNC_DONE" or "unknown code" for the others. */
ANYSYNC_API const char *anysync_error_name(int code);

/*
 * Write ERROR with its chain of callers, one line each, into BUFFER of SIZE bytes.
 *
 *      no page named a.html (-ENOENT)
 *        failed in load (client.c:17)
 *        in fetch (client.c:41) on anysync
 *        in crawl (client.c:97) on anysync
 *
 * A cause follows under "on top of:", further failures of a group each under "and:".
 *
 * Returns  the length the whole text has, as snprintf does; what does not fit is cut.
 * Thread   any.
 */
ANYSYNC_API size_t anysync_error_format(
        const struct anysync_error *error, char *buffer, size_t size);

/*
 * Called when a task failed and nobody will ever look: its last reference went without its result
 * being asked for.  TASK is the task's name, ERROR is borrowed for the call.  Runs on whatever
 * thread dropped the last reference, outside any lock; it must not block.
 */
typedef void anysync_error_hook_fn(
        const char *task, const struct anysync_error *error, void *context);

/*
 * Choose who hears of errors that nobody collected.  The default, and HOOK == NULL, prints one line
 * on standard error with the task's name and source line.  Results of -ECANCELED are not reported.
 *
 * context  borrowed; handed to each call of HOOK.
 * Thread   any; takes effect for failures that come later.
 */
ANYSYNC_API void anysync_set_error_hook(anysync_error_hook_fn *hook, void *context);

#ifdef __cplusplus
}
#endif

#endif
