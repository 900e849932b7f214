/* SPDX-License-Identifier: MIT */
/*
 * Relay: lock step.  (The idea: relay.h.)
 *
 * THE LOOP'S SIDE  start_advance() is the one place where a request takes effect; a coroutine of
 *   the loop calls it, and so does the letter of a request from elsewhere.  hand_over() is where an
 *   item leaves the body: to the coroutine that waits, to the remote, or into the slot.
 *
 * THE REMOTE SIDE  One consumer at a time (`taken`) sends its request by the letter in the relay,
 *   and sleeps on a party on its stack.  Who takes `party` out, under the lock, decides: the loop
 *   (then a delivery is due, and the consumer waits for it), or the consumer that leaves.  It leaves
 *   the request `in_flight`, and the next consumer joins that instead of sending one.
 *
 * SPEED  The processor predicts where a return goes by the calls before it, and after a switch those
 *   were made on another stack: each return between two switches is predicted wrong.  So the usual
 *   way of an item within a loop, asi_relay_next() and asi_relay_yield(), is one function each with
 *   all that it does in line.
 *
 * THE END  The task's hook runs after its future is done.  From then on nothing is the loop's any
 *   more: what the slot holds, and how it ended, is given under the lock to whoever comes first.
 */
#include "sched/relay.h"

#include "base/memory.h"
#include "sched/scheduler.h"
#include "sched/vars.h"
#include "thread/fork.h"

#include <errno.h>
#include <string.h>

/* Small items, the usual ones, without a call. */
static inline void copy(void *to, const void *from, size_t size)
{
    if (!to || size == 0)
        return;
    if (size == 4)
        memcpy(to, from, 4);
    else if (size == 8)
        memcpy(to, from, 8);
    else
        memcpy(to, from, size);
}

/* asi_task_wake(OTHER), then asi_wait_local() for ever, by a task that is not cancelled: see SPEED.
 * OTHER NULL: nobody to wake. */
static inline __attribute__((always_inline)) int wait_quickly(
        struct anysync_task *task, const bool *woken, struct anysync_task *other)
{
    struct asi_scheduler *scheduler = task->scheduler;
    int saved = errno;

    task->cancellable = true;
    if (ASI_LIKELY(other))
        asi_scheduler_hand_over(scheduler, other);
    else
        asi_scheduler_suspend(scheduler);
    while (ASI_UNLIKELY(!*woken && !task->cancelled))
        asi_scheduler_suspend(scheduler);
    task->cancellable = false;
    errno = saved;
    return *woken ? 0 : -ECANCELED;
}

static void drop_advance(struct asi_advance *advance)
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
    return asi_call_fails(error, NULL);
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

static bool take_slot(struct anysync_generator *self)
{
    self->item_ready = false;
    self->room = true;
    if (self->crowded)
        asi_task_wake(self->task);
    return true;
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
        copy(self->sent, advance->value, self->function->sent_size);
    if (advance->kind == ASI_ADVANCE_THROW) {
        self->thrown = advance->code;
        self->thrown_error = advance->error;
        advance->error = NULL;
    }
    self->phase = ASI_RELAY_RUNNING;
    self->asked = true;
    asi_task_wake(task);
}

/* A request takes effect.  For ITEM there is one in the slot. */
static enum asi_advanced start_advance(struct anysync_generator *self, struct asi_advance *advance)
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
    case ASI_RELAY_YIELDED:
        break;
    }
    resume(self, advance);
    return ASI_ADVANCED_LATER;
}

/* Give the remote its answer.  Returns whether somebody was there to take it. */
static bool answer(struct anysync_generator *self, enum asi_advanced result, const void *item)
{
    struct asi_remote *remote = &self->remote;

    asi_lock_take(&remote->lock);
    struct asi_party *party = remote->party;
    remote->party = NULL;
    if (party) {
        remote->result = result;
        remote->answered = true;
        if (result == ASI_ADVANCED_ITEM)
            copy(remote->item, item, self->function->item_size);
    } else {
        remote->in_flight = false;
    }
    asi_lock_give(&remote->lock);
    if (party)
        asi_party_deliver(party);
    return party;
}

/* Whether a consumer from elsewhere waits; one that left is forgotten. */
static bool is_remote_there(struct anysync_generator *self)
{
    struct asi_remote *remote = &self->remote;

    if (ASI_LIKELY(!self->remote_waits))
        return false;
    asi_lock_take(&remote->lock);
    bool there = remote->party;
    if (!there)
        remote->in_flight = false;
    asi_lock_give(&remote->lock);
    self->remote_waits = there;
    return there;
}

/* Returns the task to be woken. */
static inline struct anysync_task *answer_seeker(
        struct anysync_generator *self, enum asi_advanced result)
{
    struct asi_seeker *seeker = self->seeker;

    self->seeker = NULL;
    seeker->result = result;
    seeker->woken = true;
    return seeker->task;
}

/* ITEM is not for a coroutine of this loop. */
static __attribute__((noinline)) void hand_over(struct anysync_generator *self, const void *item)
{
    if (self->remote_waits) {
        self->remote_waits = false;
        if (answer(self, ASI_ADVANCED_ITEM, item))
            return;
    }
    copy(self->slot, item, self->function->item_size);
    self->item_ready = true;
    self->room = false;
}

static void on_end(struct asi_task_hook *hook, struct anysync_task *task)
{
    struct anysync_generator *self = asi_container_of(hook, struct anysync_generator, hook);

    (void)task;
    if (self->seeker)
        asi_task_wake(answer_seeker(self, ASI_ADVANCED_OVER));
    if (self->remote_waits)
        answer(self, ASI_ADVANCED_OVER, NULL);
    if (self->reads_ahead)
        asi_ahead_over(self);
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
static inline __attribute__((always_inline)) int take_request(
        struct anysync_generator *self, void *ret_sent)
{
    if (ASI_LIKELY(self->kind == ASI_ADVANCE_NEXT)) {
        if (ret_sent && self->function->sent_size > 0)
            memset(ret_sent, 0, self->function->sent_size);
        return 0;
    }
    if (self->kind == ASI_ADVANCE_SEND) {
        copy(ret_sent, self->sent, self->function->sent_size);
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

/* What is not the usual way of a yield, before the item is handed over. */
static __attribute__((noinline)) int prepare_yield(struct anysync_generator *self)
{
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

static __attribute__((noinline)) int end_yield(struct anysync_generator *self, int error)
{
    self->phase = ASI_RELAY_RUNNING; /* on its own, if it was no advance that woke it */
    return error ? asi_call_fails(error, NULL)
                 : asi_call_fails(-ECANCELED, "the generator was closed");
}

int asi_relay_yield(struct anysync_generator *self, const void *item, void *ret_sent)
{
    struct anysync_task *task = self->task;
    struct anysync_task *seeking = NULL;
    int error;

    if (ASI_UNLIKELY(task->cancelled || self->closing || self->item_ready ||
                     self->generation != asi_fork_generation)) {
        error = prepare_yield(self);
        if (error)
            return error;
    }
    if (self->reads_ahead)
        return yield_ahead(self, item, ret_sent);
    if (ASI_LIKELY(self->seeker)) {
        copy(self->seeker->to, item, self->function->item_size);
        seeking = answer_seeker(self, ASI_ADVANCED_ITEM);
    } else {
        hand_over(self, item);
    }
    self->phase = ASI_RELAY_YIELDED;
    self->asked = false;
    error = wait_quickly(task, &self->asked, seeking);
    if (ASI_LIKELY(!error && !self->closing))
        return take_request(self, ret_sent);
    return end_yield(self, error);
}

/* --- a consumer of the same loop -------------------------------------------------------------- */

static enum asi_advanced wait_here(
        struct anysync_generator *self, void *ret_item, anysync_time deadline, int *ret_error)
{
    struct asi_seeker seeker = {.task = asi_scheduler_here()->current, .to = ret_item};

    self->seeker = &seeker;
    *ret_error = asi_wait_local(&seeker.woken, deadline);
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
    if (ASI_UNLIKELY(self->seeker || is_remote_there(self)))
        return ASI_ADVANCED_RUNNING;
    *ret_error = asi_wait_checkpoint(); /* who is cancelled asks for nothing */
    if (ASI_UNLIKELY(*ret_error))
        return ASI_ADVANCED_LATER;
    enum asi_advanced result = start_advance(self, advance);
    if (result == ASI_ADVANCED_LATER)
        return wait_here(self, ret_item, deadline, ret_error);
    if (result == ASI_ADVANCED_ITEM) {
        copy(ret_item, self->slot, self->function->item_size);
        take_slot(self);
    }
    return result;
}

/* --- a consumer from elsewhere ---------------------------------------------------------------- */

static void deliver_request(struct asi_letter *letter, void *receiver)
{
    struct anysync_generator *self =
            asi_container_of(letter, struct anysync_generator, remote.letter);
    struct asi_advance *advance = &self->remote.advance;
    enum asi_advanced result;

    (void)receiver;
    if (asi_relay_is_over(self)) /* then perhaps a loop that was opened later has got the letter */
        result = ASI_ADVANCED_OVER;
    else if (self->seeker)
        result = ASI_ADVANCED_RUNNING;
    else
        result = start_advance(self, advance);
    drop_advance(advance);
    if (result == ASI_ADVANCED_LATER)
        self->remote_waits = true;
    else if (answer(self, result, self->slot) && result == ASI_ADVANCED_ITEM)
        take_slot(self);
    asi_relay_unref(self);
}

/* The caller becomes the one remote consumer, with PARTY.  RET_JOINED: a request is in flight, and
 * its answer will be the caller's. */
static enum asi_advanced enter_remote(struct anysync_generator *self, struct asi_advance *advance,
        struct asi_party *party, bool *ret_joined)
{
    struct asi_remote *remote = &self->remote;
    enum asi_advanced result = ASI_ADVANCED_LATER;

    asi_lock_take(&remote->lock);
    *ret_joined = remote->in_flight;
    if (remote->taken)
        result = ASI_ADVANCED_RUNNING;
    else if (remote->in_flight && advance->kind != ASI_ADVANCE_NEXT)
        result = ASI_ADVANCED_DUE;
    if (result == ASI_ADVANCED_LATER) {
        remote->taken = true;
        remote->in_flight = true;
        remote->party = party;
    }
    asi_lock_give(&remote->lock);
    return result;
}

/* Send the request.  False: the loop is closed. */
static bool send_request(struct anysync_generator *self, struct asi_advance *advance)
{
    struct asi_remote *remote = &self->remote;

    remote->advance = *advance;
    if (advance->kind == ASI_ADVANCE_SEND) {
        copy(remote->sent, advance->value, self->function->sent_size);
        remote->advance.value = remote->sent;
    }
    remote->letter.deliver = deliver_request;
    asi_relay_ref(self);
    if (asi_scheduler_post(self->task->scheduler, &remote->letter)) {
        *advance = (struct asi_advance){.kind = ASI_ADVANCE_NEXT}; /* the letter's now */
        return true;
    }
    asi_relay_unref(self);
    return false;
}

/* End the call.  SENT false: no answer will come.  RET_ANSWERED: a delivery was made or is due. */
static enum asi_advanced leave_remote(
        struct anysync_generator *self, bool sent, void *ret_item, bool *ret_answered)
{
    struct asi_remote *remote = &self->remote;
    enum asi_advanced result = ASI_ADVANCED_LATER;

    asi_lock_take(&remote->lock);
    *ret_answered = remote->answered;
    if (remote->answered) {
        result = remote->result;
        if (result == ASI_ADVANCED_ITEM)
            copy(ret_item, remote->item, self->function->item_size);
    }
    if (remote->answered || !sent)
        remote->in_flight = false;
    remote->answered = false;
    remote->party = NULL;
    remote->taken = false;
    asi_lock_give(&remote->lock);
    return result;
}

static enum asi_advanced advance_remote(struct anysync_generator *self, struct asi_advance *advance,
        void *ret_item, anysync_time deadline, int *ret_error)
{
    enum asi_world world = asi_world();
    struct asi_party party;
    bool joined, answered;

    if (world == ASI_WORLD_TASK) {
        *ret_error = asi_wait_checkpoint(); /* who is cancelled asks for nothing */
        if (*ret_error)
            return ASI_ADVANCED_LATER;
    }
    asi_party_init(&party, world);
    enum asi_advanced result = enter_remote(self, advance, &party, &joined);
    if (result != ASI_ADVANCED_LATER)
        return result;
    if (!joined && !send_request(self, advance)) {
        (void)leave_remote(self, false, NULL, &answered);
        *ret_error = asi_wait_started(world, &self->task->future, deadline);
        return *ret_error ? ASI_ADVANCED_LATER : ASI_ADVANCED_OVER;
    }
    int error = asi_party_wait(&party, 0, deadline, true);
    result = leave_remote(self, true, ret_item, &answered);
    if (error && answered)
        (void)asi_party_wait(&party, 0, ANYSYNC_FOREVER, false); /* it is due */
    *ret_error = answered ? 0 : error;
    return result;
}

/* --- any consumer ----------------------------------------------------------------------------- */

int asi_relay_over(struct anysync_generator *self, void *ret_item)
{
    int status = self->task->future.status;
    bool closed = asi_flag_get(&self->closed);
    bool item = false, tell = false;

    asi_lock_take(&self->remote.lock);
    if (self->item_ready && !closed) {
        copy(ret_item, self->slot, self->function->item_size);
        self->item_ready = false;
        item = true;
    } else if (!self->told) {
        self->told = true;
        tell = status < 0 && !(closed && status == -ECANCELED);
    }
    asi_lock_give(&self->remote.lock);
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
        if (here == self->task->scheduler)
            result = advance_here(self, advance, ret_item, deadline, &error);
        else
            result = advance_remote(self, advance, ret_item, deadline, &error);
    }
    drop_advance(advance);
    return finish_advance(self, result, ret_item, error);
}

static __attribute__((noinline)) int next_slowly(struct anysync_generator *self, bool keep_values,
        const char *call, void *ret_item, anysync_time deadline)
{
    struct asi_advance advance = {.kind = ASI_ADVANCE_NEXT, .keep_values = keep_values};
    int error = asi_relay_check(self, call);

    if (error)
        return error;
    return self->reads_ahead ? asi_ahead_next(self, ret_item, deadline)
                             : asi_relay_advance(self, &advance, ret_item, deadline);
}

/* Whether the body of SELF is parked in its yield and SEEKING, of the same loop, may ask it for the
 * next item with nothing else to be looked at. */
static inline bool is_usual(
        struct anysync_generator *self, struct anysync_task *seeking, bool keep_values)
{
    struct anysync_task *task = self->task;

    /* The loop is asked first: only on its thread may the rest be read. */
    return seeking && task->scheduler == seeking->scheduler && !asi_relay_is_over(self) &&
           self->phase == ASI_RELAY_YIELDED && !self->reads_ahead && !self->item_ready &&
           !self->seeker && !self->remote_waits && !seeking->cancelled &&
           self->generation == asi_fork_generation &&
           (keep_values || (!task->vars && !seeking->vars));
}

int asi_relay_next(struct anysync_generator *self, bool keep_values, const char *call,
        void *ret_item, anysync_time deadline)
{
    struct asi_scheduler *here = asi_scheduler_here();
    struct anysync_task *seeking = here ? here->current : NULL;
    struct asi_seeker seeker = {.task = seeking, .to = ret_item};

    if (ASI_UNLIKELY(deadline != ANYSYNC_FOREVER || !is_usual(self, seeking, keep_values)))
        return next_slowly(self, keep_values, call, ret_item, deadline);
    self->kind = ASI_ADVANCE_NEXT;
    self->phase = ASI_RELAY_RUNNING;
    self->asked = true;
    self->seeker = &seeker;
    int error = wait_quickly(seeking, &seeker.woken, self->task);
    if (ASI_LIKELY(!error && seeker.result == ASI_ADVANCED_ITEM))
        return 0;
    if (error)
        self->seeker = NULL;
    return finish_advance(self, error ? ASI_ADVANCED_LATER : ASI_ADVANCED_OVER, ret_item, error);
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
    asi_task_cancel(self->task, "the generator was closed");
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
    if (self->task->scheduler == asi_scheduler_here()) {
        close_here(self);
        return;
    }
    self->close_letter.deliver = deliver_close;
    asi_relay_ref(self);
    if (!asi_scheduler_post(self->task->scheduler, &self->close_letter))
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

/* --- life ------------------------------------------------------------------------------------- */

static size_t rounded(size_t size)
{
    return (size + 15) & ~(size_t)15;
}

/* The next SIZE bytes at *AT. */
static void *cut(char **at, size_t size)
{
    void *piece = *at;

    *at += rounded(size);
    return piece;
}

struct anysync_generator *asi_relay_new(const struct anysync_generator_function *function,
        const void *argument, uint32_t read_ahead)
{
    size_t item = rounded(function->item_size), sent = rounded(function->sent_size);
    size_t places = read_ahead ? asi_ring_places(read_ahead) : 0;
    size_t rest = rounded(function->argument_size) + 2 * item + 2 * sent;

    if (places > (SIZE_MAX / 2 - rest) / (item + 1))
        return NULL;
    struct anysync_generator *self =
            asi_allocate_zero(rounded(sizeof(*self)) + rest + places * function->item_size);
    if (!self)
        return NULL;
    self->task = asi_task_new(&function->task, &self, 2);
    if (!self->task) {
        asi_free(self);
        return NULL;
    }
    char *at = (char *)self + rounded(sizeof(*self));
    self->function = function;
    self->argument = cut(&at, function->argument_size);
    self->slot = cut(&at, function->item_size);
    self->sent = cut(&at, function->sent_size);
    self->remote.item = cut(&at, function->item_size);
    self->remote.sent = cut(&at, function->sent_size);
    self->remote.lock = (struct asi_lock)ASI_LOCK_INIT;
    copy(self->argument, argument, function->argument_size);
    self->generation = asi_fork_generation;
    asi_flag_init(&self->closed);
    asi_refs_init(&self->refs, 2);
    self->reads_ahead = read_ahead;
    if (read_ahead)
        asi_ahead_init(self, read_ahead, at);
    self->hook = (struct asi_task_hook){.ended = on_end};
    asi_task_hook_in(self->task, &self->hook);
    return self;
}

struct anysync_generator *asi_relay_ref(struct anysync_generator *self)
{
    asi_refs_add(&self->refs);
    return self;
}

static void relay_free(struct anysync_generator *self)
{
    asi_error_unref(self->thrown_error);
    anysync_future_unref(&self->task->future);
    asi_free(self);
}

void asi_relay_unref(struct anysync_generator *self)
{
    if (asi_refs_drop(&self->refs))
        relay_free(self);
}

void asi_relay_discard(struct anysync_generator *self)
{
    relay_free(self);
}
