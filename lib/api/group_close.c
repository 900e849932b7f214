/* SPDX-License-Identifier: MIT */
/*
 * Groups: open and close, and what the close returns.  (The state: group.h.)
 *
 * The close is a shield: its wait ends with the last child.  A cancel of the caller and the
 * deadline only end the group; then it waits on, and the second time they are not heard, but that
 * after the deadline the grace time is all there is.
 *
 * As long as there are local children alone, and nothing has gone wrong, the close waits as for a
 * task of its loop (close_lightly()): its edge, if it needs one, leads to the only child.  Else,
 * and for several children that only tasks can keep, it waits as a party, in a published edge.
 *
 * The result is what ended the group, with the failures that it did not report itself listed
 * behind it: in order of time, the opener's own among the children's.
 */
#include "api/executor.h"
#include "api/group.h"
#include "base/clock.h"
#include "base/memory.h"
#include "coro/sanitize.h"
#include "sched/scheduler.h"
#include "thread/fork.h"

#include <errno.h>

static int count_of(size_t count)
{
    return count > 1000000 ? 1000000 : (int)count;
}

static const char *plural(size_t count)
{
    return count == 1 ? "child" : "children";
}

/* --- open ------------------------------------------------------------------------------------- */

static void free_failed(struct asi_list *failed)
{
    while (!asi_list_is_empty(failed)) {
        struct asi_child *child = asi_container_of(failed->next, struct asi_child, list);
        asi_list_remove(&child->list);
        asi_child_free(child);
    }
}

/* [lock] Move all of FROM to TO, which is set up. */
static void move_list(struct asi_list *from, struct asi_list *to)
{
    asi_list_init(to);
    while (!asi_list_is_empty(from)) {
        struct asi_list *node = from->next;
        asi_list_remove(node);
        asi_list_add(to, node);
    }
}

/* The opener is through with GROUP. */
static void let_go(struct anysync_group *group)
{
    if (group->local_live > 0)
        group->left = true; /* the last of them drops the reference */
    else
        asi_group_unref(group);
}

/* The opener's task has gone without a close. */
static void left_behind(struct asi_scope *scope)
{
    struct anysync_group *group = asi_container_of(scope, struct anysync_group, scope);
    struct asi_list failed;

    group->entered = false;
    asi_group_change(group);
    group->closed = true;
    move_list(&group->failed, &failed);
    bool first = asi_group_end(
            group, ASI_GROUP_CANCELLED, -ECANCELED, "the task that opened the group has gone");
    asi_group_unlock(group);
    free_failed(&failed);
    if (first)
        asi_group_cut(group);
    let_go(group);
}

/* All that is under the lock. */
static void init_locked(struct anysync_group *group)
{
    group->lock = (struct asi_lock)ASI_LOCK_INIT;
    group->closed = false;
    group->ended_by = ASI_GROUP_GOES_ON;
    group->code = 0;
    group->reason = NULL;
    group->live = 0;
    group->failures = 0;
    group->cut = 0;
    group->closer = NULL;
    asi_list_init(&group->running);
    asi_list_init(&group->asked);
    asi_list_init(&group->failed);
}

int anysync_group_open(struct anysync_group **ret_group)
{
    enum asi_world world = asi_world();

    if (world == ASI_WORLD_CALLBACK)
        return asi_call_fails(-EDEADLK,
                "a callback of the loop cannot open a group, as it cannot wait for it: spawn a "
                "coroutine that does");
    struct anysync_group *group = asi_recycle_take(ASI_RECYCLE_RECORD);
    if (!group)
        return asi_call_fails(-ENOMEM, "no memory for a group");
    asi_refs_init(&group->refs, 1);
    asi_flag_init(&group->slow);
    group->generation = asi_fork_generation;
    group->loop = NULL;
    group->light = NULL;
    group->local_live = 0;
    group->entered = false;
    group->left = false;
    asi_list_init(&group->locals);
    init_locked(group);
    if (world == ASI_WORLD_TASK) {
        group->loop = asi_scheduler_here();
        asi_scope_push(&group->scope, group->loop->current, ANYSYNC_FOREVER);
        group->scope.left_behind = left_behind;
        group->entered = true;
    }
    *ret_group = group;
    return 0;
}

/* --- the opener's own code -------------------------------------------------------------------- */

struct own {
    struct asi_error *error; /* owned; may be NULL */
    int code;                /* 0: it did not fail, or only as it was cut */
    size_t after;            /* so many children failed before */
};

/* The opener passed on how CHILD had failed. */
static bool is_passed_on(const struct asi_child *child, const struct own *own)
{
    return own->error && child->task->future.error == own->error;
}

static inline void leave_scope(struct anysync_group *group, int error)
{
    struct asi_scope *scope = &group->scope;

    if (!group->entered)
        return;
    ASI_ASSERT(group->loop, "a group without a loop had entered a scope");
    group->entered = false;
    if (ASI_LIKELY(error == 0 && !scope->cancelled &&
                   asi_scope_innermost(group->loop->current) == scope))
        asi_scope_set_innermost(scope->task, scope->outer); /* what is heard stays the same */
    else
        (void)asi_scope_pop(scope, group->loop->current, error);
}

/* The opener leaves its scope with a failure, and says how it ended. */
static struct own leave_code(struct anysync_group *group, int error)
{
    struct own own = {NULL, error, 0};
    struct asi_slot slot = asi_slot();
    bool first = false;

    if (*slot.error && *slot.code == error)
        own.error = asi_error_ref(*slot.error);
    leave_scope(group, error);
    asi_group_change(group);
    own.after = group->failures;
    if (error == -ECANCELED && group->ended_by != ASI_GROUP_GOES_ON)
        own.code = 0; /* it was cut */
    for (struct asi_list *node = group->failed.next; node != &group->failed; node = node->next) {
        if (is_passed_on(asi_container_of(node, struct asi_child, list), &own))
            own.code = 0;
    }
    if (own.code)
        first = asi_group_end(group, ASI_GROUP_OPENER_FAILED, error,
                error == -ECANCELED ? "the group's opener was cancelled"
                                    : "the group's opener failed");
    asi_group_unlock(group);
    if (first)
        asi_group_cut(group);
    if (!own.code)
        own.error = asi_error_unref(own.error);
    return own;
}

/* --- the wait --------------------------------------------------------------------------------- */

/* Whether TASK, of this loop, waits in an edge, so that to wait for it may close a cycle. */
static bool is_in_edge(const struct anysync_task *task)
{
    return task->state == ASI_TASK_SUSPENDED && task->local_wait;
}

/*
 * Wait for local children alone.  Returns true: all have ended, and there is nothing to say.
 * False: it takes more than that; RET_ERROR is 0 then, or how the wait ended.
 */
static bool close_lightly(struct anysync_group *group, anysync_time deadline, int *ret_error)
{
    struct anysync_task *self = group->loop->current;
    bool limited = deadline != ANYSYNC_FOREVER ||
                   (self->scoped && asi_scope_limit(ANYSYNC_FOREVER) != ANYSYNC_FOREVER);

    *ret_error = 0;
    while (!asi_flag_get(&group->slow)) {
        if (group->local_live == 0)
            return true;
        struct asi_child *child = asi_container_of(group->locals.next, struct asi_child, list);
        struct asi_local_wait wait = {.task = self, .target = child->task};
        if (*ret_error || (!limited && (group->local_live > 1 || is_in_edge(child->task))))
            return false;
        group->light = &wait;
        if (ASI_LIKELY(!limited && !self->cancelled))
            *ret_error = asi_wait_in_edge(self, &wait) ? 0 : -ECANCELED;
        else
            *ret_error = asi_wait_local_for(&wait, &wait.woken, deadline);
        group->light = NULL;
    }
    return false;
}

static bool is_empty(struct anysync_group *group, struct asi_party *closer)
{
    asi_group_change(group);
    bool empty = group->live == 0 && group->local_live == 0;
    group->closer = empty ? NULL : closer;
    asi_group_unlock(group);
    return empty;
}

/* The futures of all children that live, each with a reference; NULL, and the close cannot be told
 * of a deadlock, when there is no memory. */
static struct anysync_future **take_living(struct anysync_group *group, size_t *ret_count)
{
    struct asi_list *lists[] = {&group->locals, &group->running, &group->asked};
    struct anysync_future **futures;

    *ret_count = 0;
    asi_group_lock(group);
    futures = asi_allocate((group->local_live + group->live + 1) * sizeof(futures[0]));
    for (int i = 0; i < 3 && futures; i++) {
        for (struct asi_list *node = lists[i]->next; node != lists[i]; node = node->next)
            futures[(*ret_count)++] = anysync_future_ref(
                    &asi_container_of(node, struct asi_child, list)->task->future);
    }
    asi_group_unlock(group);
    return futures;
}

static void drop_all(struct anysync_future **futures, size_t count)
{
    for (size_t i = 0; i < count; i++)
        anysync_future_unref(futures[i]);
    asi_free(futures);
}

/* Until all have ended, or the wait ends otherwise; 0: perhaps there are new ones, look again. */
static ASI_REAL_FRAME int wait_once(
        struct anysync_group *group, anysync_time deadline, bool cancellable)
{
    struct asi_aim aim = {.all = true, .hidden = true, .patient = true};
    struct anysync_future **futures;
    struct asi_party party;
    bool extra;

    asi_party_init(&party, asi_world());
    if (is_empty(group, &party))
        return ANYSYNC_DONE;
    futures = take_living(group, &aim.count);
    aim.futures = futures;
    int error = asi_party_wait_aimed(&party, 0, deadline, cancellable, &aim, &extra);
    bool empty = is_empty(group, NULL);
    drop_all(futures, aim.count);
    return empty ? ANYSYNC_DONE : error;
}

static void end_and_cut(
        struct anysync_group *group, enum asi_group_ending how, int code, const char *reason)
{
    asi_group_change(group);
    bool first = asi_group_end(group, how, code, reason);
    asi_group_unlock(group);
    if (first)
        asi_group_cut(group);
}

/* The wait could never end: a child waits for the opener, in a way that only a cancel can end.  It
 * is the opener's failure.  (A child whose wait can be answered has been: it is that one's.) */
static void note_deadlock(struct anysync_group *group, struct own *own)
{
    if (own->code == 0) {
        own->code = -EDEADLK;
        own->error = asi_error_ref(*asi_slot().error);
        asi_group_lock(group);
        own->after = group->failures;
        asi_group_unlock(group);
    }
    end_and_cut(group, ASI_GROUP_OPENER_FAILED, -EDEADLK, "its close could never end");
}

/* ERROR: how a first wait ended, or 0. */
static void wait_for_children(
        struct anysync_group *group, anysync_time deadline, int error, struct own *own)
{
    bool cancellable = true, grace = false;
    anysync_time until = deadline;

    for (;; error = wait_once(group, until, cancellable)) {
        if (error == ANYSYNC_DONE || (error == -ETIMEDOUT && grace))
            return;
        if (error == 0)
            continue;
        cancellable = false;
        if (error == -EDEADLK) {
            note_deadlock(group, own);
        } else if (error == -ETIMEDOUT) {
            int64_t grace_ns =
                    group->loop ? group->loop->options.grace_ns : asi_executor_grace(NULL);
            grace = true;
            until = asi_clock_after(anysync_now(), grace_ns);
            end_and_cut(group, ASI_GROUP_TIMED_OUT, error, "the deadline of the group passed");
        } else {
            end_and_cut(
                    group, ASI_GROUP_CALLER_CANCELLED, error, "the group's opener was cancelled");
        }
    }
}

/* --- the result ------------------------------------------------------------------------------- */

/* ERROR (consumed; NULL: none was to be had) with CODE, followed by NEXT (consumed). */
static struct asi_error *put_before(struct asi_error *error, int code, struct asi_error *next)
{
    if (!error)
        error = asi_error_new(code, ANYSYNC_ORIGIN_TASK, NULL);
    if (error)
        return asi_error_add_next(error, next);
    asi_error_unref(next);
    return NULL;
}

/* It may have passed it on before the group heard of it: list that once.  Returns how many children
 * were taken out of FAILED. */
static size_t drop_passed_on(struct asi_list *failed, const struct own *own)
{
    for (struct asi_list *node = failed->next; node != failed; node = node->next) {
        struct asi_child *child = asi_container_of(node, struct asi_child, list);
        if (!is_passed_on(child, own))
            continue;
        asi_list_remove(node);
        asi_child_free(child);
        return 1;
    }
    return 0;
}

/* All failures in order of time; OWN's error is consumed. */
static struct asi_error *list_failures(struct asi_list *failed, size_t count, struct own *own)
{
    struct asi_error *list = NULL;
    struct asi_list *node = failed;

    for (size_t i = count;; i--) {
        if (own->code && i == own->after)
            list = put_before(own->error, own->code, list);
        if (i == 0)
            return list;
        node = node->previous;
        ASI_ASSERT(node != failed, "fewer children have failed than were counted");
        struct anysync_future *future =
                &asi_container_of(node, struct asi_child, list)->task->future;
        list = put_before(asi_error_ref(future->error), future->status, list);
    }
}

/* What the close says when it is no failure that ended the group. */
static struct asi_error *say_cut(const struct anysync_group *group, size_t abandoned)
{
    bool late = group->ended_by == ASI_GROUP_TIMED_OUT || abandoned > 0;
    const char *why = late                                            ? "the deadline passed"
                      : group->ended_by == ASI_GROUP_CALLER_CANCELLED ? "the caller was cancelled"
                                                                      : "the group was cancelled";
    bool reason = group->ended_by == ASI_GROUP_CANCELLED && group->reason && !late;

    if (abandoned > 0)
        return asi_error_new(-ETIMEDOUT, ANYSYNC_ORIGIN_CALL,
                "%s; abandoned %d %s of the group that did not end in the grace time", why,
                count_of(abandoned), plural(abandoned));
    return asi_error_new(group->code, ANYSYNC_ORIGIN_CALL,
            "%s%s%s; %d %s of the group ended as cancelled", why, reason ? ": " : "",
            reason ? group->reason : "", count_of(group->cut), plural(group->cut));
}

/* The group is closed, and nobody but abandoned children has it. */
static int conclude(struct anysync_group *group, struct asi_list *failed, size_t abandoned,
        struct own *own, bool opener_cut)
{
    bool by_failure =
            group->ended_by == ASI_GROUP_CHILD_FAILED || group->ended_by == ASI_GROUP_OPENER_FAILED;
    size_t failed_count = group->failures - drop_passed_on(failed, own);
    size_t failures = failed_count + (own->code ? 1 : 0);
    int code = abandoned > 0 ? -ETIMEDOUT : group->code;
    struct asi_error *error = list_failures(failed, failed_count, own);
    size_t others = failures;

    if (by_failure && !abandoned) {
        others = failures - 1;
    } else if (abandoned || failures || group->cut || opener_cut) {
        error = put_before(say_cut(group, abandoned), code, error);
    } else {
        return 0; /* all arrived after all */
    }
    if (others > 0)
        error = asi_error_add_text(error, " (and %d more failed)", count_of(others));
    asi_slot_put(asi_slot(), code, error);
    return code;
}

/* ERROR: how the opener's own code ended; WAITED: how a first wait did, or 0. */
static __attribute__((noinline)) int close_slowly(
        struct anysync_group *group, int error, anysync_time deadline, int waited, struct own *own)
{
    struct asi_list failed;

    wait_for_children(group, deadline, waited, own);
    asi_group_change(group);
    group->closed = true;
    size_t abandoned = group->live + group->local_live;
    move_list(&group->failed, &failed);
    asi_group_unlock(group);
    int status = conclude(group, &failed, abandoned, own, error == -ECANCELED);
    free_failed(&failed);
    let_go(group);
    return status;
}

int anysync_group_close(struct anysync_group *group, int error, anysync_time deadline)
{
    ASI_ASSERT(error <= 0, "a group was closed with a code that is positive");
    ASI_ASSERT(
            asi_world() != ASI_WORLD_CALLBACK && !group->loop == (asi_world() == ASI_WORLD_THREAD),
            "a group is closed by the task that opened it, or outside tasks if it was opened "
            "there");
    if (asi_group_is_orphan(group)) {
        leave_scope(group, 0);
        let_go(group); /* its lock may be held by a thread that is not here */
        return asi_call_fails(
                -EOWNERDEAD, "the group belongs to the process this one was forked from");
    }
    struct own own = {NULL, 0, 0};
    int waited = 0;
    if (error)
        own = leave_code(group, error);
    else
        leave_scope(group, 0);
    if (group->loop && deadline != ANYSYNC_POLL && close_lightly(group, deadline, &waited)) {
        asi_group_unref(group);
        return 0;
    }
    return close_slowly(group, error, deadline, waited, &own);
}

/* --- slots ------------------------------------------------------------------------------------ */

bool anysync_slot_ready(struct anysync_future *future)
{
    return future && anysync_future_done(future) && future->status == 0;
}

int anysync_slot_result(struct anysync_future *future, void *ret_value)
{
    if (!future)
        return asi_call_fails(-EAGAIN, "there is no value: nothing was spawned into this slot");
    const char *name = future->is_task ? asi_task_name(asi_task_of(future)) : "a future";
    if (!anysync_future_done(future))
        return asi_call_fails(-EAGAIN,
                "the value of %s is not there yet: close the group, or await something, first",
                name);
    if (future->status == 0)
        return asi_future_collect(future, ret_value);
    return asi_call_fails(-EAGAIN,
            "there is no value of %s: the child %s: the group's error says why", name,
            future->status == -ECANCELED ? "was cancelled" : "failed");
}
