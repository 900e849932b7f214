/* SPDX-License-Identifier: MIT */
/*
 * Groups: tasks that end together.
 *
 *      struct anysync_group *group;
 *      fetch_future left, right;
 *
 *      error = anysync_group_open(&group);
 *      if (error)
 *          return error;
 *      error = fetch_spawn(group, &left, "left.example");
 *      if (!error)
 *          error = fetch_spawn(group, &right, "right.example");
 *      error = anysync_group_close(group, error, ANYSYNC_FOREVER);     both have ended here
 *      if (!error)
 *          error = fetch_value(&left, &page);
 *
 * or as a block, that may be left in any way:
 *
 *      ANYSYNC_GROUP(group, &error)
 *      {
 *          error = fetch_spawn(group, &left, "left.example");
 *      }
 *
 * No child outlives the close of its group.  The first failure, of a child or of the code between
 * open and close (the opener's own), ends the group: all other children are cancelled, and so is
 * the opener's own code if it is a coroutine: its waits return -ECANCELED until the close.  A plain
 * thread's own code is not cut: it learns of the failure at the close, or when a spawn is refused.
 *
 * FAILURES  A child fails that returns a negative code; -ECANCELED only if nobody cancelled it.
 *   The close returns the code of what came first.  anysync_last_error() has its sentence, which
 *   counts the others, and lists these behind `next`.  They count as looked at.
 *
 * SLOTS  The future that a spawn gives may be read after the close without waiting: by
 *   anysync_slot_result(), or name_value() of the typed front.  Only a value counts; what was
 *   cancelled, or failed, is -EAGAIN like what is not there yet.
 *
 * WHERE  Children run on the opener's loop; those of a plain thread's group on the global worker.
 *   A task opens any number of groups; they nest with each other and with scopes, and are closed in
 *   reverse order.  Who returns from a task's body without a close stops the program with a
 *   sentence; anysync_exit() cancels the children and leaves them to the loop.
 *
 * HANDLE  A group may be used by anybody until its close returns: by its opener, by its children,
 *   and by whom the opener keeps alive meanwhile.
 */
#ifndef ANYSYNC_GROUP_H
#define ANYSYNC_GROUP_H

#include <anysync/base.h>
#include <anysync/future.h>
#include <anysync/task.h>

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct anysync_group; /* opaque */

/*
 * Open a group.
 *
 * ret_group  owned by the caller, who closes it.
 *
 * Returns     0  open.
 *       -ENOMEM  no memory.
 *      -EDEADLK  called by a callback of a loop, which could not wait for the children.
 *
 * Thread  any but a callback of a loop.   Blocks  never; not a cancellation point.
 */
ANYSYNC_API int anysync_group_open(struct anysync_group **ret_group) ANYSYNC_MUST_CHECK;

/*
 * Start FUNCTION as a task of GROUP, and get its future.  On the group's loop it does not begin
 * before the caller suspends.
 *
 * group       borrowed.
 * argument    argument_size bytes, copied; NULL when 0.
 * ret_future  owned by the caller: one reference.  NULL is fine: the group knows the child.
 *
 * Returns     0  started.
 *    -ECANCELED  the group was cancelled, or something in it has failed: it takes no more.
 *        -EPIPE  the group was closed (a child that it abandoned asks for one more).
 *   -EOWNERDEAD  the group belongs to the process this one was forked from.
 *   -ESHUTDOWN, -ENOMEM, -EAGAIN, -EMFILE  as anysync_spawn(): nothing was started.
 *
 * Thread  any, callbacks and children too; a child may do so while the close waits.
 * Blocks  never, except for the first start of the worker.   Cancel  no cancellation point.
 */
ANYSYNC_API int anysync_group_spawn(struct anysync_group *group,
        const struct anysync_function *function, const void *argument,
        struct anysync_future **ret_future) ANYSYNC_MUST_CHECK;

/*
 * Start FUNCTION as a task of GROUP, and wait until it says anysync_started().
 *
 * ret_started   what it said; untouched when the return is not 0.  NULL to leave it.
 * started_size  bytes of that.
 * deadline      of this wait alone: the child goes on after it has started.
 *
 * Returns     0  it has started.
 *        -EPIPE  it ended well without a word.
 *    -ETIMEDOUT, -ECANCELED  DEADLINE passed, or the calling task was cancelled (origin: the
 *                call).  The child was cancelled, and the group waits for it.
 *      -EDEADLK  called by a callback of a loop.
 *         other  of anysync_group_spawn(); or what the child failed with before it started (origin:
 *                the task).  Then it is the starter's failure, not the group's.
 *
 * Thread  any but a callback.   Blocks  the thread, or suspends.   Cancel  cancellation point.
 * Order   what the child did before anysync_started() happens before the return.
 */
ANYSYNC_API int anysync_group_start(struct anysync_group *group,
        const struct anysync_function *function, const void *argument, void *ret_started,
        size_t started_size, struct anysync_future **ret_future,
        anysync_time deadline) ANYSYNC_MUST_CHECK;

/*
 * In a child: tell who waits in anysync_group_start() that it may go on, and give it VALUE.
 *
 * value  SIZE bytes, copied; NULL when 0.
 *
 * Returns       0  the starter has it.
 *    ANYSYNC_DONE  nobody waits (any more): nothing was done.
 *         -EINVAL  the starter waits for another number of bytes; it goes on waiting.
 *
 * Thread  any.   Blocks  never.
 */
ANYSYNC_API int anysync_started(const void *value, size_t size);

/*
 * Cancel what runs in GROUP: its children, and its opener's own code.
 *
 * reason  a literal (kept as a pointer) that says why, for error sentences; NULL: none.
 * Thread  any, callbacks and children too.   Blocks  never.
 */
ANYSYNC_API void anysync_group_cancel(struct anysync_group *group, const char *reason);

/*
 * Wait until all children of GROUP (consumed) have ended.  It always waits: when the calling task
 * is cancelled, or DEADLINE passes, the children are cancelled and then waited for; after DEADLINE
 * no longer than the loop's grace time.
 *
 * error  how the opener's own code ended: 0, or a code, which cancels the children.
 *
 * Returns     0  nothing failed, and no child was cut short by the group.
 *    -ETIMEDOUT  DEADLINE cut children short.  "abandoned" in the sentence: so many had not ended
 *                by then; they go on, and harm nothing.
 *    -ECANCELED  the group or the calling task was cancelled, and that cut something short.
 *   -EOWNERDEAD  the group belongs to the process this one was forked from.
 *         other  the first failure: see FAILURES.
 *
 * Thread  the task that opened it; outside tasks any thread outside tasks.
 * Blocks  the thread, or suspends.
 * Cancel  cancels the children; nothing is lost.
 * Order   all that the children did happens before the return.
 */
ANYSYNC_API int anysync_group_close(
        struct anysync_group *group, int error, anysync_time deadline) ANYSYNC_MUST_CHECK;

/* Whether the child behind FUTURE (NULL: never) has ended with a value.  Any thread; never blocks.
 */
ANYSYNC_API bool anysync_slot_ready(struct anysync_future *future);

/*
 * The value of the child behind FUTURE.
 *
 * ret_value  filled when the return is 0, untouched otherwise; NULL to leave it.
 *
 * Returns  0, or -EAGAIN: it is not there yet, or will never be; the sentence says which, and what
 *          to do.
 * Thread   any, any number of times.   Blocks  never.
 */
ANYSYNC_API int anysync_slot_result(
        struct anysync_future *future, void *ret_value) ANYSYNC_MUST_CHECK;

/*
 * A block that is a group: GROUP is a name, declared for the block.  ERROR (int *): what *ERROR is
 * at the end of the block goes into the close, and what that returns goes into *ERROR.  When the
 * group cannot be opened, *ERROR says why, and the block does not run.  break, return and goto
 * close the group too, and wait.
 */
#define ANYSYNC_GROUP(group, error)                                                                \
    ASI_GROUP_NAMED(ASI_UNIQUE(asi_block), ASI_UNIQUE(asi_once), group, error)

/* --- the rest is how -------------------------------------------------------------------------- */

struct asi_group_block {
    struct anysync_group *group;
    int *error;
};

static inline struct asi_group_block *asi_group_block_begin(
        struct asi_group_block *block, int *error)
{
    int status = anysync_group_open(&block->group);

    block->error = error;
    if (status == 0)
        return block;
    block->group = NULL;
    *error = status;
    return NULL;
}

static inline void asi_group_block_end(struct asi_group_block *block)
{
    if (block->group)
        *block->error = anysync_group_close(block->group, *block->error, ANYSYNC_FOREVER);
}

#define ASI_GROUP_NAMED(block, once, name, error)                                                  \
    for (struct asi_group_block block __attribute__((cleanup(asi_group_block_end))),               \
            *once = asi_group_block_begin(&block, error);                                          \
            once; once = NULL)                                                                     \
        for (struct anysync_group *name = once->group; once; once = NULL)

// clang-format off
/* What the typed front makes of each coroutine function: name_spawn(group, &soon, ...),
 * name_ready(&soon), name_value(&soon, &value). */
#define ASI_GROUP_FORMS(kind, n, type, name, list) \
    ASI_FORM(name##_spawn, (~, struct anysync_group *asi_group, name##_future *asi_future \
        ASI_EACH(ASI_PARAMETER, n, list)), \
        n, name, list, anysync_group_spawn(asi_group, &name##_function, asi_argument, \
            asi_future ? asi_empty(&asi_future->future) : NULL)) \
    ASI_INLINE bool name##_ready(const name##_future *asi_future) \
    { \
        return anysync_slot_ready(asi_future->future); \
    } \
    ASI_CHECKED int name##_value(const name##_future *asi_future ASI_RESULT_##kind(type)) \
    { \
        return anysync_slot_result(asi_future->future, ASI_TO_##kind); \
    }
// clang-format on

#ifdef __cplusplus
}
#endif

#endif
