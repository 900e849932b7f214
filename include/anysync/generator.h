/* SPDX-License-Identifier: MIT */
/*
 * Generators: coroutines that give items, one after another.
 *
 *      static int count_body(struct anysync_generator *self, void *argument)
 *      {
 *          for (int i = 1; i <= *(int *)argument; i++) {
 *              int error = anysync_generator_yield(self, &i, NULL);
 *              if (error)
 *                  return error;
 *          }
 *          return 0;
 *      }
 *      static const struct anysync_generator_function count =
 *              ANYSYNC_GENERATOR_FUNCTION(count, count_body, sizeof(int), sizeof(int), 0);
 *
 *      anysync_generator_new(&count, &three, NULL, &generator);
 *      while ((error = anysync_generator_next(generator, &item, deadline)) == 0)
 *          use(item);                      at the end error is ANYSYNC_DONE
 *      anysync_generator_unref(generator);
 *
 * <anysync/generator_typed.h> writes all this for you, and has the loops.
 *
 * WHERE  The body is a task of its own: of the global executor if a thread outside loops opened
 *   it, of the same loop if a coroutine did, of the executor named in the options.  Its consumer
 *   may be any thread or coroutine, one at a time, and another one for each item if you like.
 *
 * WHEN  Nothing of the body runs before the first item is asked for, and then up to its next yield,
 *   no further (lock step); or, if it reads ahead, until so many items wait to be taken.
 *   An open generator is a task of its executor: a shutdown that drains waits until it is closed.
 *
 * CANCEL, DEADLINES  A consumer that gives up loses nothing: the body goes on to its yield, and the
 *   next call of next gets that item.  Until then send and throw are -EBUSY.  (A consumer that is
 *   abandoned within next, of a generator that reads ahead, keeps it -EBUSY for good.)
 *
 * CONTEXT VARIABLES  next, send and throw: the body goes on with the values its consumer has at
 *   that moment.  In the loops, with anysync_generator_step(), and when it reads ahead: with its
 *   own, which were its opener's at first.
 */
#ifndef ANYSYNC_GENERATOR_H
#define ANYSYNC_GENERATOR_H

#include <anysync/base.h>
#include <anysync/executor.h>
#include <anysync/task.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct anysync_generator; /* opaque; one owner */

/*
 * The body of a generator.
 *
 * self      for anysync_generator_yield(); borrowed.
 * argument  the generator's copy of the argument.
 *
 * Returns  0 at its end, or a negative code (say why with anysync_fail()).
 */
typedef int anysync_generator_body_fn(struct anysync_generator *self, void *argument);

/* A generator function.  Constant, and alive as long as any generator of it. */
struct anysync_generator_function {
    struct anysync_function task;    /* name, file, line, stack; its body is the library's */
    anysync_generator_body_fn *body; /* what runs */
    size_t argument_size;            /* bytes copied from who opens it; 0: none */
    size_t item_size;                /* bytes of each item; 0: none */
    size_t sent_size;                /* bytes of what is sent; 0: nothing can be sent */
};

/* One, written without the typed front: FUNCTION is its name, BODY what runs. */
#define ANYSYNC_GENERATOR_FUNCTION(function, body, argument_size, item_size, sent_size)            \
    ANYSYNC_GENERATOR_FUNCTION_STACK(function, body, argument_size, item_size, sent_size, 0)

/* The same with so many bytes of stack; 0: the executor's default. */
#define ANYSYNC_GENERATOR_FUNCTION_STACK(                                                          \
        function, body, argument_size, item_size, sent_size, stack_size)                           \
    {                                                                                              \
        {#function, __FILE__, __LINE__, anysync_generator_main, sizeof(void *), 0, stack_size,     \
                ANYSYNC_KIND_COROUTINE},                                                           \
                body, argument_size, item_size, sent_size                                          \
    }

/* All zero means defaults. */
struct anysync_generator_options {
    uint32_t read_ahead; /* how many items it may run ahead of its consumer; 0: lock step; the room
                            for them is allocated at once */
    struct anysync_executor *executor; /* borrowed: where the body runs; NULL: see WHERE */
};

/*
 * Open a generator of FUNCTION.  Its body does not run yet.
 *
 * function       borrowed.
 * argument       argument_size bytes, copied; NULL when 0.
 * options        borrowed for the call; NULL means all defaults.
 * ret_generator  owned by the caller: anysync_generator_unref() it.
 *
 * Returns  0, or -ENOMEM, -EAGAIN, -EMFILE, -ESHUTDOWN as anysync_spawn(): nothing was opened.
 * Thread   any, callbacks too.   Blocks  never, except for the first start of the worker.
 */
ANYSYNC_API int anysync_generator_new(const struct anysync_generator_function *function,
        const void *argument, const struct anysync_generator_options *options,
        struct anysync_generator **ret_generator) ANYSYNC_MUST_CHECK;

/*
 * Get the next item.
 *
 * ret_item  item_size bytes, written when the return is 0; NULL to leave it.
 *
 * Returns       0  an item.
 *    ANYSYNC_DONE  the body has ended, or was closed; so from then on for ever.
 *           -EBUSY  already running: somebody else waits for its next item, or its own body asks.
 *      -ETIMEDOUT  DEADLINE passed; nothing is lost, see CANCEL.
 *      -ECANCELED  the calling task was cancelled (origin: the call), likewise; or the body was,
 *                  by the end of its loop or executor (origin: the task).
 *        -EDEADLK  called by a callback of a loop.
 *     -EOWNERDEAD  it belongs to the process this one was forked from.
 *           other  what the body returned, with its sentence: once, then ANYSYNC_DONE.
 *
 * Thread  any but callbacks of a loop.
 * Blocks  in a coroutine: suspends.  Elsewhere: blocks the thread.
 * Cancel  cancellation point.
 * Order   what came before the call happens before the body goes on; what the body did before it
 *         yields happens before the return.  (Reading ahead: the second only.)
 */
ANYSYNC_API int anysync_generator_next(struct anysync_generator *generator, void *ret_item,
        anysync_time deadline) ANYSYNC_MUST_CHECK;

/* anysync_generator_next() that lets the body go on with its own context variables. */
ANYSYNC_API int anysync_generator_step(struct anysync_generator *generator, void *ret_item,
        anysync_time deadline) ANYSYNC_MUST_CHECK;

/*
 * Let the body's yield return with VALUE, and get the next item.
 *
 * value  sent_size bytes, copied; NULL: anysync_generator_next().
 *
 * Returns  as anysync_generator_next(), and
 *    -EINVAL  it has not yielded yet, so nothing waits for a value; it takes none; or it reads
 *             ahead.
 *     -EBUSY  also: an item that was asked for before is still due.
 */
ANYSYNC_API int anysync_generator_send(struct anysync_generator *generator, const void *value,
        void *ret_item, anysync_time deadline) ANYSYNC_MUST_CHECK;

/*
 * Let the body's yield return CODE, and get the next item.  One that has not begun never does: it
 * ends with CODE.
 *
 * code     negative.
 * message  the sentence the body finds in anysync_last_error(), copied; NULL: the code's own.
 *
 * Returns  as anysync_generator_send(); CODE if the body returns it.
 */
ANYSYNC_API int anysync_generator_throw(struct anysync_generator *generator, int code,
        const char *message, void *ret_item, anysync_time deadline) ANYSYNC_MUST_CHECK;

/*
 * Close it: the body's yield, and each later wait of the body, returns -ECANCELED; items that were
 * not taken are dropped.  One that has not begun never does.
 *
 * Returns    0  the body has ended, its clean-up included.
 *   -ETIMEDOUT  DEADLINE passed first; it is closed, and ends when it likes.
 *   -ECANCELED  the calling task was cancelled; likewise.
 *     -EDEADLK  called by a callback of a loop (it is closed all the same), or by the body itself.
 *  -EOWNERDEAD  it belongs to the process this one was forked from.
 *        other  what the body returned, if nobody was told before and it is not -ECANCELED.
 *
 * Thread  any, also while another is in next: that gets ANYSYNC_DONE.   Blocks  see next.
 * Cancel  cancellation point.
 */
ANYSYNC_API int anysync_generator_close(
        struct anysync_generator *generator, anysync_time deadline) ANYSYNC_MUST_CHECK;

/* anysync_generator_close() that waits for the end of the body however long it takes, even if the
 * caller is cancelled.  Not a cancellation point. */
ANYSYNC_API int anysync_generator_finish(struct anysync_generator *generator) ANYSYNC_MUST_CHECK;

/*
 * Close it, wait for the end of the body however long that takes, and free it.  An error that
 * nobody was told goes to the error hook.  In a callback of a loop it does not wait.  NULL is fine.
 * Returns NULL.
 *
 * Thread  any, when no other uses it any more.   Cancel  no cancellation point.
 */
ANYSYNC_API struct anysync_generator *anysync_generator_unref(struct anysync_generator *generator);

/* --- in the body ------------------------------------------------------------------------------ */

/*
 * Give ITEM to the consumer, and suspend until it asks for the next; reading ahead: until there is
 * room.  From anywhere in the body, however deep in its calls.
 *
 * item      item_size bytes, copied.
 * ret_sent  sent_size bytes: what was sent, all zero for a plain next; NULL to leave it.
 *
 * Returns     0  go on.
 *    -ECANCELED  closed, or the task was cancelled: clean up and return.  Each later yield says so
 *                too, and gives nothing.
 *        -EPERM  this code does not run in the body of SELF.
 *         other  what was thrown; its sentence is in anysync_last_error().
 *
 * Cancel  cancellation point.
 */
ANYSYNC_API int anysync_generator_yield(
        struct anysync_generator *self, const void *item, void *ret_sent) ANYSYNC_MUST_CHECK;

/* anysync_generator_yield() in the generator whose body is running, which must be one of FUNCTION;
 * otherwise -EPERM. */
ANYSYNC_API int anysync_generator_yield_in(const struct anysync_generator_function *function,
        const void *item, void *ret_sent) ANYSYNC_MUST_CHECK;

/* The body of the tasks that run generators: see ANYSYNC_GENERATOR_FUNCTION(). */
ANYSYNC_API int anysync_generator_main(void *argument, void *result);

/* --- iterators -------------------------------------------------------------------------------- */

/*
 * Whatever gives items: a generator, or a struct of yours that has one of these in it.
 *
 * next   writes the next item to RET_ITEM and returns 0; ANYSYNC_DONE at the end; or an error.
 * close  called once when the loop over it is left, however; NULL: nothing to do.
 */
struct anysync_iterator {
    int (*next)(struct anysync_iterator *self, void *ret_item);
    void (*close)(struct anysync_iterator *self);
};

/* GENERATOR as an iterator (borrowed): next is anysync_generator_step(), close closes it and waits
 * for that.  Any thread. */
ANYSYNC_API struct anysync_iterator *anysync_generator_iterator(
        struct anysync_generator *generator);

#ifdef __cplusplus
}
#endif

#endif
