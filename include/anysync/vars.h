/* SPDX-License-Identifier: MIT */
/*
 * Context variables: values that follow the work, not the thread.
 *
 *      ANYSYNC_VAR(int, request, 0)                    an int, 0 where nothing was set
 *
 *      request_set(42, NULL);
 *      handle();                                       whatever runs from here sees 42 ...
 *      request_get()
 *
 * Each task has values of its own.  It starts with those its maker had at the moment of run, await,
 * spawn or offload, and what it changes is never seen outside of it.  Outside tasks each thread has
 * its own.  A coroutine function called by its name shares those of its caller, as it runs in the
 * caller's task.  Taking over all values costs O(1), however many there are; a set costs O(n) for
 * n variables that have been set, if somebody else shares the values meanwhile.
 *
 * A context is a handle for all values of a moment: to start a task with them, to have the task
 * leave its own in it at its end, and to copy them back.  Nothing is copied back by itself:
 *
 *      anysync_context_capture(&context);
 *      anysync_task_use_context(task, context);        it starts with these, and leaves its own
 *      error = anysync_task_run(task, NULL, deadline);
 *      anysync_context_apply(context);                 what it changed is ours now
 */
#ifndef ANYSYNC_VARS_H
#define ANYSYNC_VARS_H

#include <anysync/base.h>

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct anysync_context; /* opaque; reference-counted */
struct anysync_task;

/* A variable: constant, and alive as long as any value of it.  Its address is its identity. */
struct anysync_var {
    const char *name;    /* for messages */
    size_t size;         /* bytes of a value */
    const void *initial; /* where nothing was set; NULL: all zero is no value (see look) */
    /* called once for each value that was set, when the last context that knows it has gone, on
     * whatever thread; NULL: nothing to do */
    void (*drop)(void *value);
};

/* What anysync_var_set() gives to undo it.  Storage of the caller. */
struct anysync_token {
    void *asi_private[4];
};

/*
 * The value of VAR here.
 *
 * Returns  borrowed, until the next set or reset here; the initial one where nothing was set, which
 *          may be NULL.
 * Thread   any.   Blocks  never.
 */
ANYSYNC_API const void *anysync_var_look(const struct anysync_var *var);

/*
 * Set VAR here: for this task, and for what it starts from now on.
 *
 * value      copied, VAR's size; what it points to is dropped by VAR's function.  Owned by the
 *            library from here on, if the return is 0.
 * ret_token  filled; give it to anysync_var_reset() or anysync_token_drop().  NULL: for good.
 *
 * Returns  0, or -ENOMEM: nothing was changed.
 * Thread   any.   Blocks  never.
 */
ANYSYNC_API int anysync_var_set(
        const struct anysync_var *var, const void *value, struct anysync_token *ret_token);

/*
 * Undo the set that gave TOKEN (consumed when the return is 0): the variable is what it was before.
 *
 * Returns     0  undone.
 *     -EALREADY  the token was used before.
 *       -EINVAL  it is of another context: of another task or thread.  It can still be used there.
 *       -ENOMEM  nothing was changed.
 *
 * Thread  that of the set.   Blocks  never.
 */
ANYSYNC_API int anysync_var_reset(struct anysync_token *token);

/* End the use of TOKEN, and undo nothing.  After a reset too.  Any thread. */
ANYSYNC_API void anysync_token_drop(struct anysync_token *token);

/*
 * Capture all values of this moment.
 *
 * ret_context  owned by the caller: anysync_context_unref() it.
 * Returns  0, or -ENOMEM.
 * Thread   any.   Blocks  never.   O(1).
 */
ANYSYNC_API int anysync_context_capture(struct anysync_context **ret_context) ANYSYNC_MUST_CHECK;

/* Take one more reference to CONTEXT, and return it.  Any thread. */
ANYSYNC_API struct anysync_context *anysync_context_ref(struct anysync_context *context);

/* Drop a reference (consumed).  NULL is fine.  Returns NULL.  Any thread. */
ANYSYNC_API struct anysync_context *anysync_context_unref(struct anysync_context *context);

/* Make the values of CONTEXT (borrowed) those of this task or thread, all of them.  Tokens given
 * before are of another context then.  Any thread.  Never blocks. */
ANYSYNC_API void anysync_context_apply(struct anysync_context *context);

/*
 * Let TASK start with the values of CONTEXT, and leave those it has at its end in CONTEXT.
 *
 * task     borrowed; made by anysync_task_new() and not used yet.
 * context  borrowed; the task takes a reference.  Several tasks may use one: the last to end wins.
 *
 * Returns  0, -ENOMEM, or -EALREADY: the task was used, or given a context, before.
 * Thread   any.
 * Order    what the task leaves is there when a wait for it has returned.
 */
ANYSYNC_API int anysync_task_use_context(
        struct anysync_task *task, struct anysync_context *context) ANYSYNC_MUST_CHECK;

// clang-format off
/*
 * A typed variable of this file, with three functions:
 *      type name_get(void)
 *      int name_set(type value, struct anysync_token *ret_token)
 *      name_var                                        its struct anysync_var
 * INITIAL is a constant expression.  _DROP: a function (type *value) that gives back what a value
 * holds.
 */
#define ANYSYNC_VAR(type, name, initial) ASI_VAR(type, name, initial, NULL)
#define ANYSYNC_VAR_DROP(type, name, initial, function) \
    static inline void name##_asi_drop(void *asi_value) { function((type *)asi_value); } \
    ASI_VAR(type, name, initial, name##_asi_drop)

#define ASI_VAR(type, name, initial, drop) \
    static type const name##_asi_initial = initial; \
    static const struct anysync_var name##_var = {#name, sizeof(type), &name##_asi_initial, drop}; \
    __attribute__((unused)) static inline type name##_get(void) \
    { \
        return *(type const *)anysync_var_look(&name##_var); \
    } \
    __attribute__((unused)) static inline int name##_set( \
        type value, struct anysync_token *asi_token) \
    { \
        return anysync_var_set(&name##_var, &value, asi_token); \
    } \
    struct anysync_var
// clang-format on

#ifdef __cplusplus
}
#endif

#endif
