/* SPDX-License-Identifier: MIT */
/*
 * Relay: lock step.  (The idea: relay.h.)
 *
 * THE LOOP'S SIDE  asi_relay_start() is the one place where a request takes effect; a coroutine of
 *   the loop calls it, and so does the letter of a request from elsewhere (remote.c).  hand_over()
 *   is where an item leaves the body: to the coroutine that waits, to the remote, or into the slot.
 *
 * SPEED  The usual way of an item within a loop, asi_relay_next() and asi_relay_yield(), is one
 *   function each with all that it does in line, for each return between two switches is predicted
 *   wrong; the last one, to the caller, is a jump (coro/back.h).  A body that is parked and may be
 *   asked by anybody is OPEN: that one word says that there is no item, no seeker and no remote.
 *
 * THE END  The task's hook runs after its future is done.  From then on nothing is the loop's any
 *   more: what the slot holds, and how it ended, is given under the lock to whoever comes first.
 */
#include "sched/relay.h"

#include "base/memory.h"
#include "coro/back.h"
#include "sched/graph.h"
#include "sched/scheduler.h"
#include "sched/scope.h"
#include "sched/vars.h"
#include "thread/fork.h"

#include <errno.h>
#include <string.h>

/* asi_task_wake(OTHER), and suspend TASK, which runs, until it is woken by whatever. */
static inline __attribute__((always_inline)) void hand_over_to(
        struct asi_scheduler *scheduler, struct anysync_task *task, struct anysync_task *other)
{
    int saved = *scheduler->errno_at;

    task->cancellable = true;
    asi_scheduler_hand_over(scheduler, task, other);
    asi_scheduler_restore_errno(scheduler, saved);
}

void asi_relay_drop(struct asi_advance *advance)
{
    if (ASI_UNLIKELY(advance->vars))
        asi_vars_unref(advance->vars);
    if (ASI_UNLIKELY(advance->error))
        asi_error_unref(advance->error);
    advance->vars = NULL;
    advance->error = NULL;
}

int asi_relay_refuse(struct anysync_generator *self, enum asi_advanced why)
{
    const char *name = asi_task_name(self->task);

    switch (why) {
    case ASI_ADVANCED_DUE:
        return asi_call_fails(-EBUSY,
                "an item of generator \"%s\" that was asked for before is still due: next takes it",
                name);
    case ASI_ADVANCED_FRESH:
        return asi_call_fails(-EINVAL,
                "generator \"%s\" has not yielded yet, so there is nothing that could take a "
                "value: "
                "call next first",
                name);
    default:
        return asi_call_fails(-EBUSY,
                "generator \"%s\" is already running: one at a time can wait for its next item",
                name);
    }
}

int asi_relay_gave_up(struct anysync_generator *self, int error)
{
    if (error == -ETIMEDOUT)
        return asi_call_fails(error,
                "the deadline passed before generator \"%s\" gave its next item; it is not lost, "
                "next takes it later",
                asi_task_name(self->task));
    return error == -EDEADLK ? error : asi_call_fails(error, NULL);
}

/* --- the loop's side -------------------------------------------------------------------------- */

/* End a task that is parked without a stack, as if its body had returned CODE.  ERROR is consumed.
 */
static void end_fresh(struct anysync_generator *self, int code, struct asi_error *error)
{
    struct anysync_task *task = self->task;

    if (task->state != ASI_TASK_SUSPENDED) { /* it was cancelled, and is about to end by itself */
        asi_error_unref(error);
        return;
    }
    asi_list_remove(&task->list);
    asi_slot_put(asi_task_slot(task), code, error);
    asi_task_end(task->scheduler, task, code);
}

void asi_relay_take_slot(struct anysync_generator *self)
{
    self->item_ready = false;
    if (self->phase == ASI_RELAY_YIELDED)
        self->phase = ASI_RELAY_OPEN;
    self->room = true;
    if (self->crowded)
        asi_task_wake(self->task);
}

/* Let the body go on as ADVANCE says. */
static void resume(struct anysync_generator *self, struct asi_advance *advance)
{
    struct anysync_task *task = self->task;

    if (!advance->keep_values && ASI_UNLIKELY(advance->vars || task->vars)) {
        asi_vars_start_with(task, advance->vars);
        advance->vars = NULL;
    }
    self->kind = advance->kind;
    if (advance->kind == ASI_ADVANCE_SEND)
        asi_relay_copy(self->sent, advance->value, self->function->sent_size);
    if (advance->kind == ASI_ADVANCE_THROW) {
        self->thrown = advance->code;
        self->thrown_error = advance->error;
        advance->error = NULL;
    }
    self->phase = ASI_RELAY_RUNNING;
    asi_task_wake(task);
}

/* A request takes effect.  For ITEM there is one in the slot. */
enum asi_advanced asi_relay_start(struct anysync_generator *self, struct asi_advance *advance)
{
    bool plain = advance->kind == ASI_ADVANCE_NEXT;

    if (self->item_ready)
        return plain ? ASI_ADVANCED_ITEM : ASI_ADVANCED_DUE;
    switch (self->phase) {
    case ASI_RELAY_RUNNING:
        return plain ? ASI_ADVANCED_LATER : ASI_ADVANCED_DUE;
    case ASI_RELAY_FRESH:
        if (advance->kind == ASI_ADVANCE_SEND)
            return ASI_ADVANCED_FRESH;
        if (advance->kind == ASI_ADVANCE_THROW) {
            struct asi_error *error = advance->error;
            advance->error = NULL;
            end_fresh(self, advance->code, error);
            return asi_relay_is_over(self) ? ASI_ADVANCED_OVER : ASI_ADVANCED_LATER;
        }
        break;
    default:
        break;
    }
    resume(self, advance);
    return ASI_ADVANCED_LATER;
}

/* Returns the task to be woken. */
static inline __attribute__((always_inline)) struct anysync_task *answer_seeker(
        struct anysync_generator *self, enum asi_advanced result)
{
    struct asi_seeker *seeker = self->seeker;

    self->seeker = NULL;
    seeker->result = result;
    seeker->woken = true;
    return seeker->wait.task;
}

/* ITEM is not for a coroutine of this loop. */
static __attribute__((noinline)) void hand_over(struct anysync_generator *self, const void *item)
{
    if (self->remote_waits) {
        self->remote_waits = false;
        if (asi_remote_answer(self, ASI_ADVANCED_ITEM, item))
            return;
    }
    asi_relay_copy(self->slot, item, self->function->item_size);
    self->phase = ASI_RELAY_YIELDED;
    self->item_ready = true;
    self->room = false;
}

void asi_relay_ended(struct asi_task_hook *hook, struct anysync_task *task)
{
    struct anysync_generator *self = asi_container_of(hook, struct anysync_generator, hook);

    (void)task;
    self->phase = ASI_RELAY_RUNNING; /* an abandoned one too: see is_usual() */
    if (self->seeker)
        asi_task_wake(answer_seeker(self, ASI_ADVANCED_OVER));
    if (self->remote_waits)
        asi_remote_answer(self, ASI_ADVANCED_OVER, NULL);
    if (self->reads_ahead)
        asi_ahead_over(self);
    asi_remote_over(self);
    asi_relay_unref(self);
}

/* --- the body's side -------------------------------------------------------------------------- */

int asi_relay_checkpoint(struct anysync_generator *self)
{
    if (ASI_UNLIKELY(self->closing && !self->task->cancelled)) { /* within a shield */
        asi_scheduler_yield(self->task->scheduler);
        return asi_call_fails(-ECANCELED, "the generator was closed");
    }
    int error = asi_wait_checkpoint();
    return ASI_UNLIKELY(error) ? asi_call_fails(error, NULL) : 0;
}

/* What the body was asked when it goes on. */
static int take_request(struct anysync_generator *self, void *ret_sent)
{
    if (self->kind == ASI_ADVANCE_NEXT) {
        if (ret_sent && self->function->sent_size > 0)
            memset(ret_sent, 0, self->function->sent_size);
        return 0;
    }
    if (self->kind == ASI_ADVANCE_SEND) {
        asi_relay_copy(ret_sent, self->sent, self->function->sent_size);
        return 0;
    }
    asi_slot_put(asi_slot(), self->thrown, self->thrown_error);
    self->thrown_error = NULL;
    return self->thrown;
}

/* The body was woken by a cancel while its item lay in the slot, and yields one more. */
static int wait_for_room(struct anysync_generator *self)
{
    self->crowded = true;
    int error = asi_wait_local(&self->room, ANYSYNC_FOREVER);
    self->crowded = false;
    return error;
}

static const char was_closed[] = "the generator was closed";

/* The body comes to its yield, and was closed gently before: from here on it cleans up, and that is
 * not cut short, unless its loop ends. */
static void spare(struct anysync_generator *self)
{
    struct anysync_task *task = self->task;

    if (!task->asked || task->cancel_reason != was_closed ||
            task->scheduler->stopping == ASI_STOP_CANCEL)
        return;
    task->asked = false;
    asi_scope_update(task);
}

/* What is not the usual way of a yield, before the item is handed over. */
static __attribute__((noinline)) int prepare_yield(struct anysync_generator *self)
{
    if (self->closing && self->spares)
        spare(self);
    int error = asi_relay_checkpoint(self);

    if (!error && self->item_ready) {
        error = wait_for_room(self);
        if (error)
            asi_call_fails(error, NULL);
    }
    return error;
}

static __attribute__((noinline)) int yield_ahead(
        struct anysync_generator *self, const void *item, void *ret_sent)
{
    int error = asi_ahead_yield(self, item);

    if (!error && ret_sent && self->function->sent_size > 0)
        memset(ret_sent, 0, self->function->sent_size);
    return error;
}

/* The body was woken, but not by a plain advance, or has handed the item to nobody that could be
 * gone to: wait on until it is advanced, closed or cancelled. */
static __attribute__((noinline)) int end_yield(struct anysync_generator *self, void *ret_sent)
{
    struct anysync_task *task = self->task;

    while (self->phase != ASI_RELAY_RUNNING && !self->closing && !task->cancelled) {
        task->cancellable = true;
        asi_scheduler_suspend(task->scheduler);
    }
    if (self->phase == ASI_RELAY_RUNNING && !self->closing)
        return take_request(self, ret_sent);
    self->phase = ASI_RELAY_RUNNING; /* on its own, if it was no advance that woke it */
    return self->closing ? asi_call_fails(-ECANCELED, "the generator was closed")
                         : asi_call_fails(-ECANCELED, NULL);
}

ASI_JUMPS_BACK int asi_relay_yield(struct anysync_generator *self, const void *item, void *ret_sent)
{
    struct anysync_task *task = self->task;

    if (ASI_UNLIKELY(task->cancelled || self->closing || self->item_ready ||
                     self->generation != asi_fork_generation)) {
        int error = prepare_yield(self);
        if (error)
            return error;
    }
    if (self->reads_ahead)
        return yield_ahead(self, item, ret_sent);
    self->phase = ASI_RELAY_OPEN;
    self->kind = ASI_ADVANCE_NEXT;
    if (ASI_UNLIKELY(!self->seeker)) {
        hand_over(self, item);
        return end_yield(self, ret_sent);
    }
    asi_relay_copy(self->seeker->to, item, self->function->item_size);
    hand_over_to(asi_scheduler_here(), task, answer_seeker(self, ASI_ADVANCED_ITEM));
    if (ASI_LIKELY(self->phase == ASI_RELAY_RUNNING && !self->closing && !ret_sent &&
                   self->kind == ASI_ADVANCE_NEXT))
        return 0;
    return end_yield(self, ret_sent);
}

/* --- a consumer of the same loop -------------------------------------------------------------- */

static enum asi_advanced wait_here(
        struct anysync_generator *self, void *ret_item, anysync_time deadline, int *ret_error)
{
    struct asi_seeker seeker = {
            .wait = {.task = asi_scheduler_here()->current, .target = self->task}, .to = ret_item};

    self->seeker = &seeker;
    *ret_error = asi_wait_local_for(&seeker.wait, &seeker.woken, deadline);
    if (ASI_LIKELY(seeker.woken)) {
        *ret_error = 0;
        return seeker.result;
    }
    self->seeker = NULL;
    return ASI_ADVANCED_LATER;
}

static enum asi_advanced advance_here(struct anysync_generator *self, struct asi_advance *advance,
        void *ret_item, anysync_time deadline, int *ret_error)
{
    if (ASI_UNLIKELY(self->seeker || asi_remote_is_there(self)))
        return ASI_ADVANCED_RUNNING;
    *ret_error = asi_wait_checkpoint(); /* who is cancelled asks for nothing */
    if (ASI_UNLIKELY(*ret_error))
        return ASI_ADVANCED_LATER;
    enum asi_advanced result = asi_relay_start(self, advance);
    if (result == ASI_ADVANCED_LATER)
        return wait_here(self, ret_item, deadline, ret_error);
    if (result == ASI_ADVANCED_ITEM) {
        asi_relay_copy(ret_item, self->slot, self->function->item_size);
        asi_relay_take_slot(self);
    }
    return result;
}

/* --- any consumer ----------------------------------------------------------------------------- */

int asi_relay_over(struct anysync_generator *self, void *ret_item)
{
    int status = self->task->future.status;
    bool closed = asi_flag_get(&self->closed);
    bool item = false, tell = false;

    asi_brief_take(&self->remote.lock);
    if (self->item_ready && !closed) {
        asi_relay_copy(ret_item, self->slot, self->function->item_size);
        self->item_ready = false;
        item = true;
    } else if (!self->told) {
        self->told = true;
        tell = status < 0 && !(closed && status == -ECANCELED);
    }
    asi_brief_give(&self->remote.lock);
    if (item)
        return 0;
    return tell ? asi_future_collect_error(&self->task->future) : ANYSYNC_DONE;
}

int asi_relay_check(struct anysync_generator *self, const char *call)
{
    if (ASI_UNLIKELY(self->generation != asi_fork_generation))
        return asi_call_fails(
                -EOWNERDEAD, "the generator belongs to the process this one was forked from");
    if (ASI_UNLIKELY(asi_world() == ASI_WORLD_CALLBACK))
        return asi_call_fails(-EDEADLK,
                "a callback of the loop cannot wait in %s(): spawn a coroutine that does", call);
    return 0;
}

static int finish_advance(
        struct anysync_generator *self, enum asi_advanced result, void *ret_item, int error)
{
    switch (result) {
    case ASI_ADVANCED_ITEM:
        return 0;
    case ASI_ADVANCED_OVER:
        return asi_relay_over(self, ret_item);
    case ASI_ADVANCED_LATER:
        return asi_relay_gave_up(self, error);
    default:
        return asi_relay_refuse(self, result);
    }
}

int asi_relay_advance(struct anysync_generator *self, struct asi_advance *advance, void *ret_item,
        anysync_time deadline)
{
    struct asi_scheduler *here = asi_scheduler_here();
    enum asi_advanced result;
    int error = 0;

    if (ASI_UNLIKELY(asi_relay_is_over(self)))
        result = ASI_ADVANCED_OVER;
    else if (here && here->current == self->task)
        result = ASI_ADVANCED_RUNNING;
    else {
        if (!advance->keep_values)
            advance->vars = asi_vars_capture();
        if (here == self->home)
            result = advance_here(self, advance, ret_item, deadline, &error);
        else
            result = asi_remote_advance(self, advance, ret_item, deadline, &error);
    }
    asi_relay_drop(advance);
    return finish_advance(self, result, ret_item, error);
}

static __attribute__((noinline)) int next_slowly(struct anysync_generator *self, bool keep_values,
        const char *call, void *ret_item, anysync_time deadline)
{
    struct asi_advance advance = {.kind = ASI_ADVANCE_NEXT, .keep_values = keep_values};
    int error = asi_relay_check(self, call);

    if (error)
        return error;
    return asi_relay_advance(self, &advance, ret_item, deadline);
}

/* Whether the body of SELF is parked in its yield and SEEKING, of the same loop, may ask it for the
 * next item with nothing else to be looked at. */
static inline bool is_usual(
        struct anysync_generator *self, struct anysync_task *seeking, bool keep_values)
{
    /* The loop is asked first: only on its thread may the rest be read.  (Or on that of a later
     * loop in the same scheduler; then the task has ended, and its phase says no.) */
    return seeking && self->home == seeking->scheduler && self->phase == ASI_RELAY_OPEN &&
           !seeking->cancelled && !seeking->scoped && self->generation == asi_fork_generation &&
           (keep_values || (!self->task->vars && !seeking->vars));
}

/* The consumer was woken, but not by an item. */
static __attribute__((noinline)) int end_next(
        struct anysync_generator *self, struct asi_seeker *seeker)
{
    struct anysync_task *task = seeker->wait.task;
    bool left;

    while (!seeker->woken && !task->cancelled) {
        task->cancellable = true;
        asi_scheduler_suspend(task->scheduler);
    }
    task->local_wait = NULL;
    task->scheduler->waits_ended++;
    left = !seeker->woken;
    if (left)
        self->seeker = NULL;
    else if (seeker->result == ASI_ADVANCED_ITEM)
        return 0;
    return finish_advance(
            self, left ? ASI_ADVANCED_LATER : ASI_ADVANCED_OVER, seeker->to, left ? -ECANCELED : 0);
}

ASI_JUMPS_BACK int asi_relay_next(struct anysync_generator *self, bool keep_values,
        const char *call, void *ret_item, anysync_time deadline)
{
    struct asi_scheduler *here = asi_scheduler_here();
    struct anysync_task *seeking = here ? here->current : NULL;
    struct asi_seeker seeker;

    if (ASI_UNLIKELY(deadline != ANYSYNC_FOREVER || !is_usual(self, seeking, keep_values)))
        return next_slowly(self, keep_values, call, ret_item, deadline);
    seeker.wait.task = seeking;
    seeker.wait.target = self->task;
    seeker.to = ret_item;
    seeker.result = ASI_ADVANCED_LATER;
    seeker.woken = false;
    self->seeker = &seeker;
    self->phase = ASI_RELAY_RUNNING;    /* what it was asked is a plain next: it said so itself */
    seeking->local_wait = &seeker.wait; /* the body, in its yield, waits for nobody */
    hand_over_to(here, seeking, self->task);
    if (ASI_UNLIKELY(seeker.result != ASI_ADVANCED_ITEM))
        return end_next(self, &seeker);
    seeking->local_wait = NULL;
    seeking->scheduler->waits_ended++;
    return 0;
}

/* --- the end ---------------------------------------------------------------------------------- */

static void close_here(struct anysync_generator *self)
{
    if (asi_relay_is_over(self))
        return;
    self->closing = true;
    if (self->phase == ASI_RELAY_FRESH) {
        end_fresh(self, -ECANCELED, NULL);
        return;
    }
    self->asked = true; /* also within a shield */
    self->room = true;
    if (!self->spares || self->phase == ASI_RELAY_RUNNING)
        asi_task_cancel(self->task, was_closed);
    asi_task_wake(self->task);
}

static void deliver_close(struct asi_letter *letter, void *receiver)
{
    struct anysync_generator *self =
            asi_container_of(letter, struct anysync_generator, close_letter);

    (void)receiver;
    close_here(self);
    asi_relay_unref(self);
}

void asi_relay_ask_close(struct anysync_generator *self)
{
    if (asi_flag_raise(&self->closed) || asi_relay_is_over(self))
        return;
    if (self->home == asi_scheduler_here()) {
        close_here(self);
        return;
    }
    self->close_letter.deliver = deliver_close;
    asi_relay_ref(self);
    (void)asi_flag_raise(&self->task->cancel_asked); /* a wait that begins now will be cut */
    if (asi_scheduler_post(self->home, &self->close_letter))
        asi_graph_cancel_comes(self->task);
    else
        asi_relay_unref(self); /* its loop has ended, and so has the task */
}

void asi_relay_end(struct anysync_generator *self)
{
    struct asi_scheduler *here = asi_scheduler_here();

    if (self->generation != asi_fork_generation)
        return;
    ASI_ASSERT(!here || here->current != self->task,
            "the body of a generator dropped its own generator");
    asi_relay_ask_close(self);
    if (asi_world() != ASI_WORLD_CALLBACK)
        (void)asi_wait_out(asi_world(), &self->task->future, ANYSYNC_FOREVER);
}

void asi_relay_end_gently(struct anysync_generator *self)
{
    self->spares = true; /* nobody else closes it at the same time; the letter carries it */
    asi_relay_end(self);
}
