/* SPDX-License-Identifier: MIT */
/*
 * Bytes are programs of calls of the library, and a model says beforehand how each ends.
 *
 * One task, the driver, reads the program.  Besides it there are *servants*: tasks that wait for
 * one thing each (a gate, another servant, a channel, a token) and end with what came of it.  After
 * each operation the driver yields until the loop is quiet; then the servants that have ended must
 * be those that have ended in the model, with the same results.  All is on a loop of this thread,
 * so a program does the same each time; deadlines have passed long ago or never come.
 *
 * The model: a servant is WAITING in the line of what it waits for, in order of arrival, or has
 * ENDED.  What completes something in the model ends the servants in its line, and those that wait
 * for these in turn.  The objects' own operations, which do not wait: fuzz_objects.c.
 */
#include "fuzz_calls.h"

#include <errno.h>
#include <string.h>

enum { GATES = 3, SERVANTS = 12, CHANNELS = 2, ITEMS = 3, QUIET = 60 };

enum kind { ON_GATE, ON_SERVANT, SENDING, RECEIVING, HOLDING };

struct servant {
    enum kind kind;
    bool shielded, ended;
    bool in_line; /* HOLDING: has no token yet */
    int on;       /* which gate, servant, channel */
    int item;     /* SENDING */
    int status, value;
    unsigned came; /* its place in line: earlier ones are served first */
    struct anysync_future *future;
};

struct gate {
    struct anysync_future *future;
    bool done;
    int status, value;
};

struct channel {
    struct anysync_channel *channel;
    size_t capacity, count;
    int items[ITEMS];
    bool closed;
};

static struct servant servants[SERVANTS];
static struct gate gates[GATES];
static struct channel channels[CHANNELS];
static struct anysync_limiter *limiter;
static size_t total, borrowed; /* of the limiter */
static int servant_count;
static unsigned arrivals;

/* --- the servants ----------------------------------------------------------------------------- */

static int wait_as(const struct servant *self, struct anysync_future *future, int *result)
{
    int error = 0;

    if (!self->shielded)
        return anysync_wait(future, result, ANYSYNC_FOREVER);
    ANYSYNC_SHIELD(NULL, ANYSYNC_FOREVER)
    {
        error = anysync_wait(future, result, ANYSYNC_FOREVER);
    }
    return error;
}

ANYSYNC_COROUTINE(int, serve, (const struct servant *, self))
{
    struct gate *gate = &gates[self->on % GATES];
    int error = 0;

    switch (self->kind) {
    case ON_GATE:
        return wait_as(self, gate->future, result);
    case ON_SERVANT:
        return wait_as(self, servants[self->on].future, result);
    case SENDING:
        return anysync_channel_send(channels[self->on].channel, &self->item, ANYSYNC_FOREVER);
    case RECEIVING:
        error = anysync_channel_recv(channels[self->on].channel, result, ANYSYNC_FOREVER);
        return error == ANYSYNC_DONE ? -ENODATA : error;
    case HOLDING:
        error = anysync_limiter_acquire(limiter, ANYSYNC_FOREVER);
        if (error)
            return error;
        error = anysync_wait(gate->future, result, ANYSYNC_FOREVER);
        anysync_limiter_release(limiter);
    }
    return error;
}

/* --- the model -------------------------------------------------------------------------------- */

/* The first in line of KIND at ON, NULL if there is none. */
static struct servant *first_in_line(enum kind kind, int on)
{
    struct servant *first = NULL;

    for (int i = 0; i < servant_count; i++) {
        struct servant *servant = &servants[i];
        bool waits = !servant->ended && servant->kind == kind &&
                     (kind == HOLDING ? servant->in_line : servant->on == on);
        if (waits && (!first || servant->came < first->came))
            first = servant;
    }
    return first;
}

static void end(struct servant *servant, int status, int value);

static void grant_tokens(void)
{
    struct servant *next;

    while (borrowed < total && (next = first_in_line(HOLDING, 0)) != NULL) {
        const struct gate *gate = &gates[next->on];
        borrowed++;
        next->in_line = false;
        if (gate->done)
            end(next, gate->status, gate->value);
    }
}

static void end(struct servant *servant, int status, int value)
{
    int self = (int)(servant - servants);
    struct servant *waiter;

    servant->ended = true;
    servant->status = status;
    servant->value = status ? 0 : value;
    while ((waiter = first_in_line(ON_SERVANT, self)) != NULL)
        end(waiter, status, value);
    if (servant->kind == HOLDING && !servant->in_line) {
        borrowed--;
        grant_tokens();
    }
}

/* Move what can move: senders' items into room, items to receivers. */
static void run_channel(int at)
{
    struct channel *channel = &channels[at];

    for (;;) {
        struct servant *sender = first_in_line(SENDING, at);
        struct servant *receiver = first_in_line(RECEIVING, at);
        if (sender && channel->closed) {
            end(sender, -EPIPE, 0);
        } else if (receiver && channel->count > 0) {
            int item = channel->items[0];
            memmove(channel->items, channel->items + 1, --channel->count * sizeof(int));
            end(receiver, 0, item);
        } else if (sender && receiver) {
            end(receiver, 0, sender->item);
            end(sender, 0, 0);
        } else if (sender && channel->count < channel->capacity) {
            channel->items[channel->count++] = sender->item;
            end(sender, 0, 0);
        } else if (receiver && channel->closed) {
            end(receiver, -ENODATA, 0);
        } else {
            return;
        }
    }
}

/* SERVANT has begun. */
static void begin_in_model(struct servant *servant)
{
    const struct gate *gate = &gates[servant->on % GATES];
    const struct servant *other = &servants[servant->on];

    servant->came = arrivals++;
    if (servant->kind == ON_GATE && gate->done)
        end(servant, gate->status, gate->value);
    else if (servant->kind == ON_SERVANT && other->ended)
        end(servant, other->status, other->value);
    else if (servant->kind == SENDING || servant->kind == RECEIVING)
        run_channel(servant->on);
    servant->in_line = servant->kind == HOLDING && !servant->ended;
    grant_tokens();
}

static void complete_gate_in_model(int at, int status, int value)
{
    struct servant *waiter;

    gates[at].done = true;
    gates[at].status = status;
    gates[at].value = value;
    while ((waiter = first_in_line(ON_GATE, at)) != NULL)
        end(waiter, status, value);
    for (int i = 0; i < servant_count; i++) {
        struct servant *holder = &servants[i];
        if (holder->kind == HOLDING && !holder->ended && !holder->in_line && holder->on == at)
            end(holder, status, value);
    }
}

/* --- comparing -------------------------------------------------------------------------------- */

static bool agrees(void)
{
    for (int i = 0; i < servant_count; i++) {
        if (anysync_future_done(servants[i].future) != servants[i].ended)
            return false;
    }
    return true;
}

static void compare(void)
{
    struct anysync_limiter_figures figures;

    for (int i = 0; i < QUIET && !agrees(); i++)
        AGREE(anysync_yield() == 0);
    AGREE(agrees());
    for (int i = 0; i < 3; i++) /* and it stays so */
        AGREE(anysync_yield() == 0);
    AGREE(agrees());
    for (int i = 0; i < servant_count; i++) {
        int value = 0, status = anysync_future_result(servants[i].future, &value);
        AGREE(status == (servants[i].ended ? servants[i].status : -EAGAIN));
        AGREE(value == (servants[i].ended ? servants[i].value : 0));
    }
    for (int i = 0; i < CHANNELS; i++)
        AGREE(anysync_channel_count(channels[i].channel) == channels[i].count);
    anysync_limiter_stats(limiter, &figures);
    AGREE(figures.total == total && figures.borrowed == borrowed);
}

/* --- operations ------------------------------------------------------------------------------- */

static void start_servant(struct bytes *bytes)
{
    uint8_t byte = next_byte(bytes);
    struct servant *servant = &servants[servant_count];

    if (servant_count == SERVANTS)
        return;
    *servant = (struct servant){.kind = (enum kind)(byte % 5), .shielded = byte & 128};
    int choice = byte / 5 % 5;
    if (servant->kind == ON_SERVANT && servant_count == 0)
        servant->kind = ON_GATE;
    servant->item = byte;
    servant->on = servant->kind == ON_SERVANT                              ? choice % servant_count
                  : servant->kind == SENDING || servant->kind == RECEIVING ? choice % CHANNELS
                                                                           : choice % GATES;
    AGREE(serve_start((serve_future *)&servant->future, servant) == 0);
    servant_count++;
    begin_in_model(servant);
}

static void cancel_servant(struct bytes *bytes)
{
    if (servant_count == 0)
        return;
    struct servant *servant = &servants[next_byte(bytes) % servant_count];
    AGREE(anysync_cancel(servant->future) == (servant->ended ? ANYSYNC_DONE : 0));
    bool hears = !servant->shielded || (servant->kind != ON_GATE && servant->kind != ON_SERVANT);
    if (!servant->ended && hears)
        end(servant, -ECANCELED, 0);
}

static void complete_gate(int at, uint8_t byte)
{
    struct gate *gate = &gates[at];
    int value = byte, status = 0, expected = gate->done ? -EALREADY : 0;

    switch (byte % 4) {
    case 0:
        status = -ECANCELED;
        AGREE(anysync_cancel(gate->future) == (gate->done ? ANYSYNC_DONE : 0));
        break;
    case 1:
        status = -1 - byte / 4;
        AGREE(anysync_future_fail(gate->future, status, "byte %d", byte) == expected);
        break;
    default:
        AGREE(anysync_future_set(gate->future, &value) == expected);
    }
    if (!gate->done)
        complete_gate_in_model(at, status, value);
}

/* Those that waited for the old one have ended then. */
static void renew_gate(int at)
{
    for (int i = 0; i < servant_count; i++) {
        if (!servants[i].ended && servants[i].on == at &&
                (servants[i].kind == ON_GATE || servants[i].kind == HOLDING))
            return; /* somebody may look at it still */
    }
    if (gates[at].future)
        anysync_future_unref(gates[at].future);
    gates[at] = (struct gate){.done = false};
    AGREE(anysync_future_new(sizeof(int), &gates[at].future) == 0);
}

/* Both at once: the value counts, whichever came first. */
static void complete_and_cancel(int at, struct bytes *bytes)
{
    uint8_t byte = next_byte(bytes);
    struct servant *servant = servant_count ? &servants[byte % servant_count] : NULL;
    bool waits = servant && !servant->ended && !gates[at].done && servant->kind == ON_GATE &&
                 servant->on == at;

    if (waits && byte & 128)
        AGREE(anysync_cancel(servant->future) == 0);
    complete_gate(at, next_byte(bytes));
    if (waits && !(byte & 128))
        AGREE(anysync_cancel(servant->future) == 0);
}

/* The driver's own operations never wait. */
static void use_channel(struct bytes *bytes)
{
    uint8_t byte = next_byte(bytes);
    int at = byte % CHANNELS, item = byte, got = 0;
    struct channel *channel = &channels[at];
    const struct servant *receiver = first_in_line(RECEIVING, at);
    struct servant *sender = first_in_line(SENDING, at);

    if (byte >= 248) {
        anysync_channel_close(channel->channel);
        channel->closed = true;
    } else if (byte & 2) {
        bool goes = receiver || channel->count < channel->capacity;
        int expected = channel->closed ? -EPIPE : goes ? 0 : -ETIMEDOUT;
        AGREE(anysync_channel_send(channel->channel, &item, ANYSYNC_POLL) == expected);
        if (expected == 0)
            channel->items[channel->count++] = item; /* one too many, if a receiver takes it now */
    } else {
        int expected = channel->count > 0 || sender ? 0
                       : channel->closed            ? ANYSYNC_DONE
                                                    : -ETIMEDOUT;
        AGREE(anysync_channel_recv(channel->channel, &got, ANYSYNC_POLL) == expected);
        if (expected == 0 && channel->count > 0) {
            AGREE(got == channel->items[0]);
            memmove(channel->items, channel->items + 1, --channel->count * sizeof(int));
        } else if (expected == 0) {
            AGREE(got == sender->item);
            end(sender, 0, 0);
        }
    }
    run_channel(at);
}

static void use_limiter(struct bytes *bytes)
{
    uint8_t byte = next_byte(bytes);

    if (byte & 1) {
        total = byte / 2 % 3 + 1u;
        AGREE(anysync_limiter_set_total(limiter, total) == 0);
        grant_tokens();
    } else {
        bool free = borrowed < total;
        AGREE(anysync_limiter_try_acquire(limiter) == (free ? 0 : -EAGAIN));
        if (free)
            anysync_limiter_release(limiter);
    }
}

/* One of several, or all, without waiting. */
static void look_at_gates(struct bytes *bytes)
{
    uint8_t byte = next_byte(bytes);
    struct anysync_future *some[GATES] = {NULL};
    size_t index = 99, first = 99, pending = 0, count = 0;

    for (size_t i = 0; i < GATES; i++) {
        if (!(byte >> i & 1))
            continue;
        some[i] = gates[i].future;
        count++;
        pending += !gates[i].done;
        first = first == 99 && gates[i].done ? i : first;
    }
    int expected = count == 0 ? ANYSYNC_DONE : first < 99 ? 0 : -ETIMEDOUT;
    AGREE(anysync_wait_any(some, GATES, ANYSYNC_POLL, &index) == expected);
    AGREE(index == first);
    AGREE(anysync_wait_all(some, GATES, ANYSYNC_POLL) == (pending ? -ETIMEDOUT : 0));
}

ANYSYNC_COROUTINE(void, drive, (struct bytes *, bytes))
{
    while (bytes_left(bytes)) {
        uint8_t op = next_byte(bytes);
        switch (op % 16) {
        case 0:
        case 1:
        case 2:
        case 3:
            start_servant(bytes);
            break;
        case 4:
            cancel_servant(bytes);
            break;
        case 5:
        case 6:
            complete_gate(op / 16 % GATES, next_byte(bytes));
            break;
        case 7:
            renew_gate(op / 16 % GATES);
            break;
        case 8:
        case 9:
            use_channel(bytes);
            break;
        case 10:
            use_limiter(bytes);
            break;
        case 11:
            look_at_gates(bytes);
            break;
        case 12:
            complete_and_cancel(op / 16 % GATES, bytes);
            break;
        default:
            use_objects(op, bytes);
        }
        compare();
    }
    return 0;
}

/* --- one program ------------------------------------------------------------------------------ */

ANYSYNC_COROUTINE(void, play, (struct bytes *, bytes))
{
    AGREE(anysync_limiter_new(1, &limiter) == 0);
    total = 1;
    for (int i = 0; i < GATES; i++)
        renew_gate(i);
    for (int i = 0; i < CHANNELS; i++) {
        channels[i] = (struct channel){.capacity = next_byte(bytes) % (ITEMS + 0u)};
        AGREE(anysync_channel_new(channels[i].capacity, sizeof(int), &channels[i].channel) == 0);
    }
    int error = drive(bytes);
    compare();
    for (int i = 0; i < GATES; i++)
        complete_gate(i, 2);
    for (int i = 0; i < CHANNELS; i++) {
        anysync_channel_close(channels[i].channel);
        channels[i].closed = true;
        run_channel(i);
    }
    compare();
    end_objects();
    AGREE(borrowed == 0);
    return error;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes bytes = {data, data + size};

    servant_count = 0;
    arrivals = 0;
    borrowed = 0;
    begin_objects();
    AGREE(play_run_here(&bytes) == 0);
    for (int i = 0; i < servant_count; i++) {
        AGREE(servants[i].ended);
        anysync_future_unref(servants[i].future);
    }
    for (int i = 0; i < GATES; i++) {
        anysync_future_unref(gates[i].future);
        gates[i].future = NULL;
    }
    for (int i = 0; i < CHANNELS; i++)
        anysync_channel_unref(channels[i].channel);
    anysync_limiter_unref(limiter);
    return 0;
}
