/* SPDX-License-Identifier: MIT */
/*
 * Context variables.  (The idea: vars.h.)
 *
 * `struct seat` is where a map is held: in a task, or in a thread for its code outside tasks.  All
 * that reads or changes values goes through the seat of the caller, so there is nothing to lock:
 * maps that are shared are constant, and reference counts are atomic.  What a context holds changes
 * under a lock, for all of them.
 */
#include "sched/vars.h"

#include "base/memory.h"
#include "sched/error.h"
#include "thread/lock.h"
#include "thread/recycle.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

struct seat {
    struct asi_vars *vars;
    bool *own;
    struct anysync_task *task; /* NULL: the thread's */
};

struct token {
    const struct anysync_var *var; /* NULL: used */
    struct asi_binding *before;    /* owned; NULL: it was not set */
    uint64_t number;               /* of the context */
};

struct anysync_context {
    struct asi_refs refs;
    struct asi_vars *vars; /* [context_lock] owned; may be NULL */
};

/* For a few instructions each, and safe around fork(), as one in each context would not be. */
static struct asi_lock context_lock = ASI_LOCK_INIT;

_Static_assert(
        sizeof(struct token) <= sizeof(struct anysync_token), "a token has outgrown its room");

static struct seat seat_here(void)
{
    struct asi_scheduler *scheduler = asi_scheduler_here();
    struct anysync_task *task = scheduler ? scheduler->current : NULL;

    if (!task)
        task = asi_local.job;
    if (task)
        return (struct seat){task->vars, &task->vars_own, task};
    return (struct seat){asi_local.vars, &asi_local.vars_own, NULL};
}

/* A number that no context ever had: the thread's own numbers do not meet those of others. */
static uint64_t new_number(void)
{
    static _Thread_local uint64_t last;

    if (last == 0)
        last = (uint64_t)asi_local_serial() << 40;
    return ++last;
}

/* --- bindings and maps ------------------------------------------------------------------------ */

static struct asi_binding *binding_new(const struct anysync_var *var, const void *value)
{
    struct asi_binding *binding = asi_allocate(sizeof(*binding) + var->size);

    if (!binding)
        return NULL;
    asi_refs_init(&binding->refs, 1);
    binding->var = var;
    memcpy(binding->value, value, var->size);
    return binding;
}

static struct asi_binding *binding_ref(struct asi_binding *binding)
{
    if (binding)
        asi_refs_add(&binding->refs);
    return binding;
}

static void binding_unref(struct asi_binding *binding)
{
    if (!binding || !asi_refs_drop(&binding->refs))
        return;
    if (binding->var->drop)
        binding->var->drop(binding->value);
    asi_free(binding);
}

static void free_vars(struct asi_vars *vars)
{
    for (size_t i = 0; i < vars->count; i++)
        binding_unref(vars->bindings[i]);
    asi_free(vars);
}

void asi_vars_unref(struct asi_vars *vars)
{
    if (vars && asi_refs_drop(&vars->refs))
        free_vars(vars);
}

/* --- the spare context of the thread ---------------------------------------------------------- */

static void free_context(struct anysync_context *context)
{
    asi_vars_unref(context->vars);
    asi_recycle_give(ASI_RECYCLE_RECORD, context);
}

/* The thread keeps none any more. */
static void drop_any_spare(void)
{
    struct anysync_context *spare = asi_local.context;

    asi_local.context = NULL;
    if (spare)
        free_context(spare);
}

/* VARS (may be NULL) is about to leave a seat, or to be changed. */
static inline void drop_spare(const struct asi_vars *vars)
{
    const struct anysync_context *spare = asi_local.context;

    if (ASI_UNLIKELY(spare && vars && spare->vars == vars))
        drop_any_spare();
}

/* VARS (owned) takes the seat; what was there is the caller's to drop. */
static void put(struct seat *seat, struct asi_vars *vars)
{
    drop_spare(seat->vars);
    seat->vars = vars;
    if (seat->task) {
        seat->task->vars = vars;
        return;
    }
    asi_scheduler_prepare_process();
    asi_local_attach();
    asi_local.vars = vars;
}

/* Where VAR is in VARS, or would be. */
static size_t place_of(const struct asi_vars *vars, const struct anysync_var *var)
{
    size_t low = 0, high = vars ? vars->count : 0;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if ((uintptr_t)vars->bindings[middle]->var < (uintptr_t)var)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct asi_binding *find(const struct asi_vars *vars, const struct anysync_var *var)
{
    size_t at = place_of(vars, var);

    return vars && at < vars->count && vars->bindings[at]->var == var ? vars->bindings[at] : NULL;
}

/* VARS with BINDING (borrowed; NULL: none) for VAR, as a map of its own; NULL: no memory. */
static struct asi_vars *copy_with(
        const struct asi_vars *vars, const struct anysync_var *var, struct asi_binding *binding)
{
    size_t count = vars ? vars->count : 0;
    size_t at = place_of(vars, var);
    size_t skipped = find(vars, var) ? 1 : 0;
    struct asi_vars *copy = asi_allocate(sizeof(*copy) + (count + 1) * sizeof(copy->bindings[0]));

    if (!copy)
        return NULL;
    asi_refs_init(&copy->refs, 1);
    copy->count = 0;
    for (size_t i = 0; i < at; i++)
        copy->bindings[copy->count++] = binding_ref(vars->bindings[i]);
    if (binding)
        copy->bindings[copy->count++] = binding_ref(binding);
    for (size_t i = at + skipped; i < count; i++)
        copy->bindings[copy->count++] = binding_ref(vars->bindings[i]);
    return copy;
}

/* Give VAR the BINDING (borrowed; NULL: none) in the caller's seat.  Returns 0 or -ENOMEM. */
static int bind(const struct anysync_var *var, struct asi_binding *binding)
{
    struct seat seat = seat_here();
    struct asi_vars *before = seat.vars;
    struct asi_binding *old = find(before, var);

    drop_spare(before);
    if (old && binding && *seat.own && asi_refs_is_one(&before->refs)) {
        before->bindings[place_of(before, var)] = binding_ref(binding);
        binding_unref(old);
        return 0;
    }
    struct asi_vars *after = copy_with(before, var, binding);
    if (!after)
        return -ENOMEM;
    after->number = *seat.own ? before->number : new_number();
    *seat.own = true;
    put(&seat, after);
    asi_vars_unref(before);
    return 0;
}

/* --- variables -------------------------------------------------------------------------------- */

const void *anysync_var_look(const struct anysync_var *var)
{
    struct asi_binding *binding = find(seat_here().vars, var);

    return binding ? binding->value : var->initial;
}

int anysync_var_set(
        const struct anysync_var *var, const void *value, struct anysync_token *ret_token)
{
    struct token *token = (struct token *)(void *)ret_token;
    struct asi_binding *binding = binding_new(var, value);
    struct asi_binding *before = token ? binding_ref(find(seat_here().vars, var)) : NULL;
    int error = binding ? bind(var, binding) : -ENOMEM;

    if (error) {
        asi_free(binding); /* the value stays the caller's */
        binding_unref(before);
        if (token)
            token->var = NULL;
        return asi_call_fails(error, "no memory to set context variable %s", var->name);
    }
    if (token)
        *token = (struct token){var, before, seat_here().vars->number};
    binding_unref(binding);
    return 0;
}

int anysync_var_reset(struct anysync_token *token)
{
    struct token *self = (struct token *)(void *)token;
    struct seat seat = seat_here();

    if (!self->var)
        return asi_call_fails(-EALREADY, "the token was used before");
    if (!*seat.own || seat.vars->number != self->number)
        return asi_call_fails(-EINVAL,
                "context variable %s was set in another context: only there can it be reset",
                self->var->name);
    int error = bind(self->var, self->before);
    if (error)
        return asi_call_fails(error, "no memory to reset context variable %s", self->var->name);
    anysync_token_drop(token);
    return 0;
}

void anysync_token_drop(struct anysync_token *token)
{
    struct token *self = (struct token *)(void *)token;

    if (self->var)
        binding_unref(self->before);
    self->var = NULL;
}

/* --- contexts --------------------------------------------------------------------------------- */

static struct asi_vars *vars_ref(struct asi_vars *vars)
{
    if (vars)
        asi_refs_add(&vars->refs);
    return vars;
}

/* There is no spare one that would do. */
static __attribute__((noinline)) int capture_slowly(struct anysync_context **ret_context)
{
    struct anysync_context *context = asi_recycle_take(ASI_RECYCLE_RECORD);

    if (!context)
        return asi_call_fails(-ENOMEM, "no memory for a context");
    asi_refs_init(&context->refs, 1);
    context->vars = asi_vars_capture();
    *ret_context = context;
    return 0;
}

int anysync_context_capture(struct anysync_context **ret_context)
{
    struct anysync_context *spare = asi_local.context;

    if (ASI_UNLIKELY(!spare || spare->vars != asi_vars_here()))
        return capture_slowly(ret_context);
    asi_local.context = NULL;
    *ret_context = spare;
    return 0;
}

struct anysync_context *anysync_context_ref(struct anysync_context *context)
{
    asi_refs_add(&context->refs);
    return context;
}

/* CONTEXT (not NULL) is dropped, and is not just to be kept. */
static __attribute__((noinline)) struct anysync_context *unref_slowly(
        struct anysync_context *context)
{
    struct anysync_context *spare = asi_local.context;

    if (!asi_refs_drop(&context->refs))
        return NULL;
    if (context->vars != asi_vars_here() || (spare && spare->vars == context->vars)) {
        free_context(context);
        return NULL;
    }
    asi_refs_init(&context->refs, 1); /* as a new one's */
    asi_local_attach();               /* it goes with the thread's own values */
    drop_any_spare();
    asi_local.context = context;
    return NULL;
}

struct anysync_context *anysync_context_unref(struct anysync_context *context)
{
    if (!context)
        return NULL;
    /* (Its values are looked at only by who has the last reference: a task may leave others.) */
    if (ASI_UNLIKELY(asi_local.context || !asi_local.attached || !asi_refs_is_one(&context->refs) ||
                     context->vars != asi_vars_here()))
        return unref_slowly(context);
    asi_local.context = context;
    return NULL;
}

static struct asi_vars *context_get(struct anysync_context *context)
{
    asi_lock_take(&context_lock);
    struct asi_vars *vars = vars_ref(context->vars);
    asi_lock_give(&context_lock);
    return vars;
}

/* VARS are consumed. */
static void context_set(struct anysync_context *context, struct asi_vars *vars)
{
    asi_lock_take(&context_lock);
    struct asi_vars *before = context->vars;
    context->vars = vars;
    asi_lock_give(&context_lock);
    asi_vars_unref(before); /* outside the lock: it calls users' functions */
}

void anysync_context_apply(struct anysync_context *context)
{
    struct seat seat = seat_here();
    struct asi_vars *before = seat.vars;

    *seat.own = false;
    put(&seat, context_get(context));
    asi_vars_unref(before);
}

/* --- tasks ------------------------------------------------------------------------------------ */

void asi_vars_start_with(struct anysync_task *task, struct asi_vars *vars)
{
    struct asi_vars *before = task->vars;

    drop_spare(before);
    task->vars = vars;
    task->vars_own = false;
    asi_vars_unref(before);
}

/* A task that leaves its values in a context. */
struct leaving {
    struct asi_task_hook hook;
    struct anysync_context *context;
};

static void leave_values(struct asi_task_hook *hook, struct anysync_task *task)
{
    struct leaving *leaving = asi_container_of(hook, struct leaving, hook);

    context_set(leaving->context, vars_ref(task->vars));
}

static void let_go(struct asi_task_hook *hook, struct anysync_task *task)
{
    struct leaving *leaving = asi_container_of(hook, struct leaving, hook);

    (void)task;
    anysync_context_unref(leaving->context);
    asi_free(leaving);
}

int anysync_task_use_context(struct anysync_task *task, struct anysync_context *context)
{
    struct leaving *leaving = asi_allocate(sizeof(*leaving));

    if (!leaving)
        return asi_call_fails(-ENOMEM, "no memory for the context of a task");
    if (asi_flag_get(&task->used) || task->vars_given) {
        asi_free(leaving);
        return asi_call_fails(
                -EALREADY, "task \"%s\" was used, or given a context, before", asi_task_name(task));
    }
    leaving->hook = (struct asi_task_hook){.ending = leave_values, .ended = let_go};
    leaving->context = anysync_context_ref(context);
    asi_task_hook_in(task, &leaving->hook);
    asi_vars_start_with(task, context_get(context));
    task->vars_given = true;
    return 0;
}

/* --- threads ---------------------------------------------------------------------------------- */

static void forget_thread_vars(struct asi_local *local)
{
    struct asi_vars *vars = local->vars;

    drop_any_spare();
    local->vars = NULL;
    local->vars_own = false;
    asi_vars_unref(vars);
}

void asi_vars_before_fork(void)
{
    asi_lock_take(&context_lock);
}

void asi_vars_after_fork(void)
{
    asi_lock_give(&context_lock);
}

void asi_vars_prepare(void)
{
    asi_local_at_exit(forget_thread_vars);
}
