/* SPDX-License-Identifier: MIT */
/*
 * Groups: their children.  (The state, and who may touch what: group.h; open and close:
 * group_close.c.)
 *
 * A child is a task with a hook: the group hears of its end on the thread where it ended, after its
 * future was done.  The first failure ends the group: whoever set `ended_by` cancels the others.
 * From then on nobody joins `running`, so emptying it one by one, each cancel outside the lock,
 * reaches them all; the local ones hear of it on their loop.
 */
#include "api/group.h"

#include "api/run.h"
#include "sched/quick.h"
#include "sched/scheduler.h"
#include "thread/fork.h"
#include "thread/local.h"

#include <errno.h>
#include <string.h>

/* Who waits for a child's start, on the stack of anysync_group_start(). */
struct asi_starter {
    struct asi_party party;
    struct asi_child *child; /* [lock] NULL: it has started or ended */
    void *value;
    size_t size;
    bool started; /* [lock] */
};

static int orphan_fails(void)
{
    return asi_call_fails(-EOWNERDEAD,
            "the group belongs to the process this one was forked from: open one here");
}

_Static_assert(sizeof(struct asi_child) <= ASI_RECYCLE_RECORD_SIZE, "so has a child");

/* With its reference to the task. */
void asi_child_free(struct asi_child *child)
{
    anysync_future_unref(&child->task->future);
    asi_recycle_give(ASI_RECYCLE_RECORD, child);
}

/* --- cancelling ------------------------------------------------------------------------------- */

bool asi_group_end(
        struct anysync_group *group, enum asi_group_ending how, int code, const char *reason)
{
    if (group->ended_by != ASI_GROUP_GOES_ON)
        return false;
    group->ended_by = (unsigned char)how;
    group->code = code;
    group->reason = reason;
    return true;
}

/* Those that are not local. */
static void cancel_children(struct anysync_group *group)
{
    for (;;) {
        asi_group_change(group);
        if (asi_list_is_empty(&group->running))
            break;
        struct asi_child *child = asi_container_of(group->running.next, struct asi_child, list);
        struct anysync_task *task = child->task;
        asi_list_remove(&child->list);
        asi_list_add(&group->asked, &child->list);
        anysync_future_ref(&task->future); /* from here on the child may end and go */
        asi_group_unlock(group);
        asi_task_ask_cancel(task, group->reason);
        anysync_future_unref(&task->future);
    }
    asi_group_unlock(group);
}

/* On the group's loop: the local children, and the opener's own code.  (A cancel only makes tasks
 * ready: none ends meanwhile.) */
static void cancel_here(struct anysync_group *group)
{
    struct asi_list *node = group->locals.next;

    for (; node != &group->locals; node = node->next)
        asi_task_cancel(asi_container_of(node, struct asi_child, list)->task, group->reason);
    if (group->entered)
        anysync_scope_cancel(asi_group_scope(group), group->reason);
}

/* A later loop may get the letter: then all that was here has left. */
static void deliver_cancel(struct asi_letter *letter, void *receiver)
{
    struct anysync_group *group = asi_container_of(letter, struct anysync_group, letter);

    (void)receiver;
    cancel_here(group);
    asi_group_unref(group);
}

void asi_group_cut(struct anysync_group *group)
{
    cancel_children(group);
    if (!group->loop)
        return;
    if (group->loop == asi_scheduler_here()) {
        cancel_here(group);
        return;
    }
    asi_refs_add(&group->refs);
    group->letter.deliver = deliver_cancel; /* a group is ended once: so is the letter sent */
    if (!asi_scheduler_post(group->loop, &group->letter))
        asi_group_unref(group);
}

void anysync_group_cancel(struct anysync_group *group, const char *reason)
{
    if (asi_group_is_orphan(group))
        return;
    asi_refs_add(&group->refs); /* its last child may end meanwhile */
    asi_group_change(group);
    bool first = asi_group_end(group, ASI_GROUP_CANCELLED, -ECANCELED, reason);
    asi_group_unlock(group);
    if (first)
        asi_group_cut(group);
    asi_group_unref(group);
}

/* --- a child ends ----------------------------------------------------------------------------- */

/* [lock] The starter goes on. */
static void release_starter(struct asi_child *child)
{
    struct asi_starter *starter = child->starter;

    child->starter = NULL;
    starter->child = NULL;
    asi_party_deliver(&starter->party);
    asi_graph_delivered();
}

/* [lock] How CHILD ended, for the group.  Returns whether it failed, and is kept for the close. */
static bool count_end(struct anysync_group *group, struct asi_child *child)
{
    struct anysync_task *task = child->task;
    int status = task->future.status;
    bool asked = task->asked || asi_flag_get(&task->cancel_asked);

    if (child->starter) { /* its end is the starter's to judge */
        release_starter(child);
        return false;
    }
    if (status == 0 || group->closed)
        return false;
    if (status == -ECANCELED && asked) {
        group->cut += group->ended_by != ASI_GROUP_GOES_ON;
        return false;
    }
    asi_list_add(&group->failed, &child->list);
    group->failures++;
    asi_flag_set(&task->future.seen); /* the close tells of it */
    return true;
}

/* [lock] A close that waits has to look again. */
static void tell_closer(struct anysync_group *group)
{
    if (group->closer)
        asi_party_deliver(group->closer);
    group->closer = NULL;
}

/* [lock] One child less. */
static void leave(struct anysync_group *group, struct asi_child *child)
{
    asi_list_remove(&child->list);
    if (--group->live == 0)
        tell_closer(group);
}

/* The close waits for the local children alone: it has to look again.  What it waited for may go
 * before it does, so it is in no wait from here on that others could follow. */
static void wake_light(struct asi_scheduler *loop, struct asi_local_wait *light)
{
    light->woken = true;
    light->task->local_wait = NULL;
    loop->waits_ended++;
    asi_quick_wake(loop, light->task);
}

/* A local child ended with a failure, or before its starter was told; or there is more to the group
 * than local children. */
static void local_ended_slowly(
        struct anysync_group *group, struct asi_child *child, struct anysync_task *task, bool last)
{
    int status = task->future.status;
    bool first = false;

    asi_group_change(group);
    anysync_future_ref(&task->future); /* the group's, if it has failed */
    bool failed = count_end(group, child);
    if (failed)
        first = asi_group_end(group, ASI_GROUP_CHILD_FAILED, status, "a child of the group failed");
    if (last)
        tell_closer(group);
    asi_group_unlock(group);
    if (!failed)
        asi_child_free(child);
    if (first)
        asi_group_cut(group);
}

static void local_ended(
        struct anysync_group *group, struct asi_child *child, struct anysync_task *task)
{
    struct asi_local_wait *light = group->light;
    bool last = --group->local_live == 0;

    asi_list_unlink(&child->list);
    if (light && (last || light->target == task))
        wake_light(group->loop, light);
    if (ASI_UNLIKELY(
                task->future.status != 0 || child->starter || (last && asi_flag_get(&group->slow))))
        local_ended_slowly(group, child, task, last);
    else
        asi_recycle_give(ASI_RECYCLE_RECORD, child);
    if (ASI_UNLIKELY(last && group->left))
        asi_group_unref(group);
}

static void child_ended(struct asi_task_hook *hook, struct anysync_task *task)
{
    struct asi_child *child = asi_container_of(hook, struct asi_child, hook);
    struct anysync_group *group = child->group;
    int status = task->future.status;

    if (ASI_LIKELY(child->local)) {
        local_ended(group, child, task);
        return;
    }
    asi_group_change(group);
    leave(group, child);
    bool failed = count_end(group, child);
    bool first = failed && asi_group_end(group, ASI_GROUP_CHILD_FAILED, status,
                                   "a child of the group failed");
    asi_group_unlock(group);
    if (!failed)
        asi_child_free(child); /* else the close has it, and may be over */
    if (first)
        asi_group_cut(group);
    asi_group_unref(group);
}

/* --- spawn ------------------------------------------------------------------------------------ */

/* [lock] Whether GROUP takes a child. */
static int check_open(const struct anysync_group *group)
{
    if (group->closed)
        return asi_call_fails(-EPIPE, "the group was closed: it takes no more children");
    switch (group->ended_by) {
    case ASI_GROUP_GOES_ON:
        return 0;
    case ASI_GROUP_CHILD_FAILED:
    case ASI_GROUP_OPENER_FAILED:
        return asi_call_fails(-ECANCELED,
                "the group takes no more children, as something in it has failed: close it to see");
    default:
        return asi_call_fails(-ECANCELED, "the group was cancelled and takes no more children%s%s",
                group->reason ? ": " : "", group->reason ? group->reason : "");
    }
}

/* [lock] TASK goes to the group's loop, with one reference, which is dropped if that fails. */
static int submit(struct anysync_group *group, struct anysync_task *task)
{
    if (group->loop == asi_scheduler_here())
        return asi_start(task);
    if (!group->loop)
        return asi_start_on(NULL, task);
    task->scheduler = group->loop;
    if (asi_scheduler_post(group->loop, &task->letter))
        return 0;
    anysync_future_unref(&task->future);
    return asi_call_fails(-ESHUTDOWN, "the group's loop has ended");
}

/* [lock] CHILD joins, and goes to its loop; a job is counted only.  Counts in REFS how many
 * references of the task are left to drop if it fails. */
static int join(struct anysync_group *group, struct asi_child *child, uint32_t *refs)
{
    int error = check_open(group);

    if (error)
        return error;
    group->live++;
    if (child->task->future.is_job)
        return 0;
    asi_list_add(&group->running, &child->list);
    error = submit(group, child->task);
    if (!error) {
        tell_closer(group);
        return 0;
    }
    leave(group, child);
    --*refs; /* submit dropped the loop's */
    return error;
}

/* CHILD, a job, has joined: start it.  Not under the lock: what is started may end other jobs, and
 * call their users; so it is linked only when it has begun, and cancelled if that is late. */
static int start_job(struct anysync_group *group, struct asi_child *child, uint32_t *refs)
{
    struct anysync_task *task = child->task;
    bool late = false;

    asi_refs_add(&group->refs);
    anysync_future_ref(&task->future);
    int error = asi_start(task);
    asi_group_change(group);
    if (error) {
        leave(group, child);
        --*refs;
    } else if (!asi_cell_done(&task->future.cell)) { /* or the child may be gone by now */
        late = group->ended_by != ASI_GROUP_GOES_ON;
        asi_list_add(late ? &group->asked : &group->running, &child->list);
        tell_closer(group);
    }
    asi_group_unlock(group);
    if (late)
        asi_task_ask_cancel(task, group->reason);
    anysync_future_unref(&task->future);
    asi_group_unref(group);
    return error;
}

/* A child of GROUP for TASK, which is hooked; NULL, with the sentence: no memory. */
static inline struct asi_child *child_new(struct anysync_group *group, struct anysync_task *task,
        struct asi_starter *starter, bool local)
{
    struct asi_child *child = asi_recycle_take(ASI_RECYCLE_RECORD);

    if (ASI_UNLIKELY(!child)) {
        asi_call_fails(-ENOMEM, "no memory for a child of a group");
        return NULL;
    }
    child->hook.ending = NULL;
    child->hook.ended = child_ended;
    child->group = group;
    child->task = task;
    child->starter = starter;
    child->local = local;
    if (starter)
        starter->child = child;
    asi_task_hook_in(task, &child->hook);
    return child;
}

/* TASK, with REFS references, will not run; CHILD (may be NULL) was made for it. */
static void undo(struct anysync_task *task, struct asi_child *child, uint32_t refs)
{
    task->hooked = false; /* it was in nobody else's hands */
    if (child)
        asi_recycle_give(ASI_RECYCLE_RECORD, child);
    while (refs-- > 0)
        anysync_future_unref(&task->future);
}

/* FUNCTION is blocking, or the caller is not on the group's loop. */
static __attribute__((noinline)) int spawn_elsewhere(struct anysync_group *group,
        const struct anysync_function *function, const void *argument, struct asi_starter *starter,
        struct anysync_future **ret_future)
{
    uint32_t refs = 2u + (ret_future ? 1u : 0u); /* the loop's, the child's */
    struct anysync_task *task = asi_task_make(function, argument, refs);

    if (!task)
        return -ENOMEM;
    bool is_job = task->future.is_job; /* once it has begun, the task may be gone */
    struct asi_child *child = child_new(group, task, starter, false);
    if (!child) {
        undo(task, NULL, refs);
        return -ENOMEM;
    }
    asi_list_init(&child->list);
    asi_refs_add(&group->refs);
    asi_group_change(group);
    int error = join(group, child, &refs);
    asi_group_unlock(group);
    if (!error && is_job)
        error = start_job(group, child, &refs);
    if (error) {
        undo(task, child, refs);
        asi_group_unref(group);
        return error;
    }
    if (ret_future)
        *ret_future = &task->future;
    return 0;
}

/* On the loop of GROUP, which is not as simple as it could be: whether it takes a child. */
static int look_before_spawn(struct anysync_group *group)
{
    asi_group_lock(group);
    int error = check_open(group);
    if (!error)
        tell_closer(group);
    asi_group_unlock(group);
    return error;
}

/* On HERE, the loop of GROUP: a local child. */
static inline __attribute__((always_inline)) int spawn_here(struct anysync_group *group,
        struct asi_scheduler *here, const struct anysync_function *function, const void *argument,
        struct asi_starter *starter, struct anysync_future **ret_future)
{
    uint32_t refs = ret_future ? 2 : 1; /* the loop's */
    int error = ASI_UNLIKELY(asi_flag_get(&group->slow)) ? look_before_spawn(group) : 0;

    if (error)
        return error;
    struct anysync_task *task = asi_task_make(function, argument, refs);
    if (!task)
        return -ENOMEM;
    struct asi_child *child = child_new(group, task, starter, true);
    if (!child) {
        undo(task, NULL, refs);
        return -ENOMEM;
    }
    asi_list_add(&group->locals, &child->list);
    group->local_live++;
    if (ASI_UNLIKELY(group->light))
        wake_light(here, group->light);
    task->scheduler = here;
    asi_scheduler_add(here, task);
    if (ret_future)
        *ret_future = &task->future;
    return 0;
}

/* RET_FUTURE may be NULL; STARTER may be, too, and asks for a future otherwise. */
static inline int spawn(struct anysync_group *group, const struct anysync_function *function,
        const void *argument, struct asi_starter *starter, struct anysync_future **ret_future)
{
    struct asi_scheduler *here = asi_scheduler_here();

    if (asi_group_is_orphan(group))
        return orphan_fails();
    if (ASI_LIKELY(here && here == group->loop && function->kind != ANYSYNC_KIND_BLOCKING &&
                   here->generation == asi_fork_generation))
        return spawn_here(group, here, function, argument, starter, ret_future);
    return spawn_elsewhere(group, function, argument, starter, ret_future);
}

int anysync_group_spawn(struct anysync_group *group, const struct anysync_function *function,
        const void *argument, struct anysync_future **ret_future)
{
    return spawn(group, function, argument, NULL, ret_future);
}

/* --- start ------------------------------------------------------------------------------------ */

/* After the wait: the child has started, or ended, or the starter gives up, which ends the child.
 */
static int judge_start(struct anysync_group *group, struct asi_starter *starter,
        struct anysync_task *task, int error)
{
    asi_group_lock(group);
    bool gave_up = starter->child;
    if (gave_up)
        starter->child->starter = NULL;
    asi_group_unlock(group);
    if (starter->started)
        return 0;
    if (!gave_up && task->future.status < 0)
        return asi_future_collect(&task->future, NULL);
    if (!gave_up)
        return asi_call_fails(-EPIPE, "task \"%s\" ended without a call of anysync_started()",
                asi_task_name(task));
    asi_task_ask_cancel(task, "nobody waits for its start any more");
    if (error == -EDEADLK)
        return error; /* the sentence has the cycle */
    return asi_call_fails(error, "%s before task \"%s\" had started, and it was cancelled",
            error == -ETIMEDOUT ? "the deadline passed" : "the caller was cancelled",
            asi_task_name(task));
}

int anysync_group_start(struct anysync_group *group, const struct anysync_function *function,
        const void *argument, void *ret_started, size_t started_size,
        struct anysync_future **ret_future, anysync_time deadline)
{
    struct asi_starter starter = {.value = ret_started, .size = started_size};
    struct anysync_future *future;

    if (asi_world() == ASI_WORLD_CALLBACK)
        return asi_call_fails(-EDEADLK,
                "a callback of the loop cannot wait for the start of %s: use anysync_group_spawn()",
                function->name);
    asi_party_init(&starter.party, asi_world());
    asi_refs_add(&group->refs); /* when the child has ended, the close may be over before us */
    int error = spawn(group, function, argument, &starter, &future);
    if (error) {
        asi_group_unref(group);
        return error;
    }
    struct asi_aim aim = {.futures = &future, .count = 1, .hidden = true, .loose = true};
    bool extra;
    error = asi_party_wait_aimed(&starter.party, 0, deadline, true, &aim, &extra);
    error = judge_start(group, &starter, asi_task_of(future), error);
    asi_group_unref(group);
    if (!error && ret_future)
        *ret_future = future;
    else
        anysync_future_unref(future);
    return error;
}

/* The child of a group that this code runs in; NULL: it is none. */
static struct asi_child *child_here(void)
{
    struct asi_scheduler *here = asi_scheduler_here();
    struct anysync_task *task = here ? here->current : asi_local.job;

    for (struct asi_task_hook *hook = task && task->hooked ? task->hook : NULL; hook;
            hook = hook->next) {
        if (hook->ended == child_ended)
            return asi_container_of(hook, struct asi_child, hook);
    }
    return NULL;
}

int anysync_started(const void *value, size_t size)
{
    struct asi_child *child = child_here();
    int result = ANYSYNC_DONE;

    if (!child || asi_group_is_orphan(child->group))
        return result;
    asi_group_lock(child->group);
    struct asi_starter *starter = child->starter;
    if (starter && starter->value && starter->size != size) {
        result = asi_call_fails(-EINVAL, "the starter of task \"%s\" waits for %zu bytes, not %zu",
                asi_task_name(child->task), starter->size, size);
    } else if (starter) {
        result = 0;
        if (starter->value && size > 0)
            memcpy(starter->value, value, size);
        starter->started = true;
        release_starter(child);
    }
    asi_group_unlock(child->group);
    return result;
}
