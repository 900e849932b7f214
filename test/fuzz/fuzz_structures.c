/* SPDX-License-Identifier: MIT */
/*
 * Bytes are programs for the data structures below everything, each against a model that is too
 * simple to be wrong: libFuzzer looks for a program on which the two differ (check_fuzz.sh).
 *
 * The first byte says which structure, each later one is an operation.  One thread: what many do at
 * once is the business of test/virtual and of the thread sanitizer.  A difference stops the program
 * with a sentence; the sanitizers look at the rest.
 */
#include "fuzz.h"

#include "base/list.h"
#include "loop/timers.h"
#include "thread/cell.h"
#include "thread/mailbox.h"
#include "thread/ring.h"
#include "thread/slab.h"

#include <stddef.h>
#include <string.h>

/* --- mailbox: a list, and whether the consumer sleeps or has gone ----------------------------- */

enum { LETTERS = 16 };

struct note {
    struct asi_letter letter;
    void *hint;
    bool inside;
};

static void usual(struct asi_letter *letter, void *receiver)
{
    (void)letter;
    (void)receiver;
}

static void unusual(struct asi_letter *letter, void *receiver)
{
    (void)letter;
    (void)receiver;
}

struct post {
    struct asi_mailbox mailbox;
    struct note notes[LETTERS];
    struct note *queue[LETTERS]; /* the model */
    unsigned count;
    bool parked, closed;
};

static void push_note(struct post *post, struct note *note, bool is_usual)
{
    enum asi_push expected = post->closed   ? ASI_PUSH_CLOSED
                             : post->parked ? ASI_PUSH_WAKE
                                            : ASI_PUSH_QUEUED;

    if (note->inside)
        return;
    note->letter.deliver = is_usual ? usual : unusual;
    note->hint = ASI_MAILBOX_NO_HINT;
    AGREE(asi_mailbox_push(&post->mailbox, &note->letter) == expected);
    if (post->closed)
        return;
    note->inside = true;
    post->queue[post->count++] = note;
    post->parked = false;
}

static void take_notes(struct post *post, bool ask)
{
    if (post->closed)
        return;
    bool all_usual = true;
    struct asi_taken taken = {0};
    if (ask)
        taken = asi_mailbox_take_usual(
                &post->mailbox, usual, offsetof(struct note, hint) - offsetof(struct note, letter));
    else
        taken.first = asi_mailbox_take_all(&post->mailbox);
    struct asi_letter *letter = taken.first;
    for (unsigned i = 0; i < post->count; i++) {
        AGREE(letter == &post->queue[i]->letter);
        all_usual = all_usual && letter->deliver == usual;
        AGREE(!ask || i + 1 < post->count || taken.last == letter);
        letter = letter->next;
        post->queue[i]->inside = false;
    }
    AGREE(!letter);
    AGREE(!ask || (taken.count == post->count && taken.usual == all_usual));
    post->count = 0;
    post->parked = false;
}

static void use_mailbox(struct bytes *bytes)
{
    static struct post post;

    memset(&post, 0, sizeof(post));
    asi_mailbox_init(&post.mailbox);
    while (bytes_left(bytes)) {
        uint8_t op = next_byte(bytes);
        switch (op >> 5) {
        case 0:
            take_notes(&post, op & 1);
            break;
        case 1:
            if (!post.parked && !post.closed)
                AGREE(asi_mailbox_park(&post.mailbox) == (post.count == 0));
            post.parked = !post.closed && post.count == 0;
            break;
        case 2:
            if (op % 32 == 0 && !post.parked && !post.closed) {
                AGREE(asi_mailbox_close(&post.mailbox) == (post.count == 0));
                post.closed = post.count == 0;
            } else if (post.closed) {
                asi_mailbox_init(&post.mailbox);
                post.closed = false;
            }
            AGREE(post.closed || post.parked ||
                    asi_mailbox_is_empty(&post.mailbox) == (post.count == 0));
            break;
        default:
            push_note(&post, &post.notes[op % LETTERS], op & 16);
        }
    }
}

/* --- ring: three counts, and who sleeps ------------------------------------------------------- */

enum { PLACES = 32 };

struct belt {
    struct asi_ring ring;
    uint64_t items[PLACES];
    uint64_t pushed, popped; /* the model; an item is its number */
    uint64_t limit;
    bool producer_sleeps, consumer_sleeps, ended;
};

static void push_item(struct belt *belt)
{
    if (belt->producer_sleeps || belt->ended)
        return;
    bool room = asi_ring_has_room(&belt->ring);
    AGREE(room == (belt->pushed - belt->ring.flushed < belt->limit));
    AGREE(!room || belt->pushed - belt->popped < belt->limit);
    if (!room)
        return;
    belt->items[asi_ring_push_place(&belt->ring)] = belt->pushed++;
    AGREE(asi_ring_push(&belt->ring) == belt->consumer_sleeps);
    belt->consumer_sleeps = false;
}

/* The consumer wakes the producer if it let it see what it popped. */
static void woke_producer(struct belt *belt, bool wake, uint64_t flushed_before)
{
    bool seen = belt->ring.flushed != flushed_before;

    AGREE(wake == (belt->producer_sleeps && seen));
    if (wake)
        belt->producer_sleeps = false;
}

static void pop_item(struct belt *belt)
{
    if (belt->consumer_sleeps)
        return;
    uint64_t flushed = belt->ring.flushed;
    bool has = asi_ring_has_item(&belt->ring);
    AGREE(has == (belt->pushed > belt->popped));
    if (!has)
        return;
    AGREE(belt->items[asi_ring_pop_place(&belt->ring)] == belt->popped);
    belt->popped++;
    woke_producer(belt, asi_ring_pop(&belt->ring), flushed);
}

static void sleep_consumer(struct belt *belt)
{
    if (belt->consumer_sleeps)
        return;
    bool wake = asi_ring_flush(&belt->ring);
    AGREE(wake == belt->producer_sleeps);
    belt->producer_sleeps = false;
    AGREE(belt->ring.flushed == belt->popped);
    bool nothing = belt->pushed == belt->popped && !belt->ended;
    AGREE(asi_ring_consumer_sleeps(&belt->ring) == nothing);
    belt->consumer_sleeps = nothing;
    AGREE(asi_ring_is_over(&belt->ring) == (belt->ended && belt->pushed == belt->popped));
}

static void sleep_producer(struct belt *belt)
{
    if (belt->producer_sleeps || belt->ended)
        return;
    if (asi_ring_has_room(&belt->ring)) /* a sleep begins with a look */
        return;
    AGREE(asi_ring_producer_sleeps(&belt->ring));
    belt->producer_sleeps = true;
}

static void use_ring(struct bytes *bytes)
{
    static struct belt belt;

    memset(&belt, 0, sizeof(belt));
    belt.limit = next_byte(bytes) % PLACES + 1u;
    asi_ring_init(&belt.ring, (uint32_t)belt.limit);
    AGREE(asi_ring_places((uint32_t)belt.limit) <= PLACES);
    AGREE(asi_ring_producer_back(&belt.ring)); /* it sleeps at first */
    while (bytes_left(bytes)) {
        uint8_t op = next_byte(bytes);
        switch (op & 7) {
        case 0:
            sleep_consumer(&belt);
            break;
        case 1:
            sleep_producer(&belt);
            break;
        case 2:
            if (belt.consumer_sleeps)
                AGREE(asi_ring_consumer_back(&belt.ring));
            belt.consumer_sleeps = false;
            break;
        case 3:
            if (belt.producer_sleeps)
                AGREE(asi_ring_producer_back(&belt.ring));
            belt.producer_sleeps = false;
            break;
        case 4:
            if (op >> 3 == 31 && !belt.ended && !belt.producer_sleeps) {
                AGREE(asi_ring_end(&belt.ring) == belt.consumer_sleeps);
                belt.consumer_sleeps = false;
                belt.ended = true;
            }
            break;
        case 5:
            for (unsigned i = op >> 3; i > 0; i--) { /* many: rings change when nobody sleeps */
                push_item(&belt);
                pop_item(&belt);
            }
            break;
        case 6:
            for (unsigned i = (op >> 3) + 1u; i > 0; i--)
                push_item(&belt);
            break;
        default:
            for (unsigned i = (op >> 3) + 1u; i > 0; i--)
                pop_item(&belt);
        }
    }
}

/* --- timers: deadlines, the earliest is looked for -------------------------------------------- */

enum { TIMERS = 24 };

static struct asi_timers timers;
static struct asi_timer all_timers[TIMERS];
static anysync_time model[TIMERS]; /* 0: not armed */
static anysync_time now, last_fired;

static anysync_time earliest(void)
{
    anysync_time least = ANYSYNC_FOREVER;

    for (int i = 0; i < TIMERS; i++) {
        if (model[i] && model[i] < least)
            least = model[i];
    }
    return least;
}

static void on_fire(struct asi_timer *timer)
{
    ptrdiff_t index = timer - all_timers;

    AGREE(!timer->armed && model[index] == timer->deadline);
    AGREE(timer->deadline <= now && timer->deadline >= last_fired);
    AGREE(timer->deadline == earliest());
    last_fired = timer->deadline;
    model[index] = 0;
}

static void use_timers(struct bytes *bytes)
{
    memset(&timers, 0, sizeof(timers));
    memset(model, 0, sizeof(model));
    now = 1;
    for (int i = 0; i < TIMERS; i++)
        asi_timer_init(&all_timers[i], on_fire);
    while (bytes_left(bytes) > 1) {
        uint8_t op = next_byte(bytes), far = next_byte(bytes);
        unsigned index = op % TIMERS;
        anysync_time delay = (anysync_time)(far & 15) << (far >> 4) * 3; /* up to 15 << 45 ns */
        if (op >= 240) {
            now += delay;
            last_fired = 0;
            asi_timers_fire(&timers, now);
            AGREE(earliest() > now);
        } else if (op >= 232) {
            struct asi_timer *taken = asi_timers_take(&timers);
            AGREE(taken ? model[taken - all_timers] != 0 : earliest() == ANYSYNC_FOREVER);
            if (taken)
                model[taken - all_timers] = 0;
        } else if (all_timers[index].armed) {
            asi_timer_disarm(&timers, &all_timers[index]);
            model[index] = 0;
        } else {
            model[index] = now + delay;
            asi_timer_arm(&timers, &all_timers[index], model[index]);
        }
        AGREE(asi_timers_any(&timers) == (earliest() != ANYSYNC_FOREVER));
        if (far & 1) /* a look gives the newest one its place */
            AGREE(asi_timers_next(&timers) <= earliest());
    }
}

/* --- slabs: records that are held have what was written to them ------------------------------- */

enum { HELD = 64, TAG = 0x5eed };

struct record {
    struct asi_spare spare;
    uintptr_t tag;
    bool small;
};

static void give_record(struct record **held, unsigned index, bool for_good)
{
    struct record *record = held[index];

    if (!record)
        return;
    AGREE(record->tag == TAG + index);
    record->spare.next = NULL;
    held[index] = NULL;
    asi_slab_give(&record->spare, for_good);
}

static void take_records(struct record **held, bool small, unsigned wanted)
{
    unsigned count = 0, seen = 0;
    struct asi_spare *chain = asi_slab_take(small, wanted, &count);

    AGREE(chain != NULL && count >= 1 && count <= wanted);
    while (chain) {
        struct asi_spare *next = chain->next;
        unsigned index = 0;
        seen++;
        while (index < HELD && held[index])
            index++;
        if (index == HELD) {
            chain->next = NULL;
            asi_slab_give(chain, false);
        } else {
            held[index] = (struct record *)(void *)chain;
            held[index]->tag = TAG + index;
            held[index]->small = small;
        }
        chain = next;
    }
    AGREE(seen == count);
}

static void use_slabs(struct bytes *bytes)
{
    static struct record *held[HELD];

    while (bytes_left(bytes)) {
        uint8_t op = next_byte(bytes);
        if (op < 64)
            give_record(held, op, false);
        else if (op < 128)
            give_record(held, op - 64, true);
        else if (op < 252)
            take_records(held, op & 1, (op & 7) + 1u);
        else
            (void)asi_slabs_trim(op & 1, 1);
        AGREE(!held[op % HELD] || held[op % HELD]->tag == TAG + (uintptr_t)op % HELD);
    }
    for (unsigned i = 0; i < HELD; i++)
        give_record(held, i, false);
}

/* --- cell: who joined and did not leave has one delivery -------------------------------------- */

enum { WAITERS = 12 };

static void use_cell(struct bytes *bytes)
{
    struct asi_waiter waiters[WAITERS];
    struct asi_link *links[WAITERS] = {NULL};
    struct asi_cell cell;
    bool done = false, claimed = false;

    asi_cell_init(&cell);
    for (int i = 0; i < WAITERS; i++)
        asi_waiter_init(&waiters[i], NULL);
    while (bytes_left(bytes)) {
        uint8_t op = next_byte(bytes);
        unsigned index = op % WAITERS;
        if (op >= 252) {
            AGREE(asi_cell_claim(&cell) == !claimed);
            if (!claimed)
                asi_cell_complete(&cell);
            claimed = done = true;
        } else if (links[index]) {
            bool left = asi_cell_leave(&cell, links[index]);
            AGREE(left == !done);
            AGREE(asi_waiter_count(&waiters[index]) == done);
            if (!left)
                asi_link_free(links[index]);
            links[index] = NULL;
            asi_waiter_init(&waiters[index], NULL);
        } else {
            struct asi_link *link = asi_link_new();
            AGREE(link != NULL);
            bool joined = asi_cell_join(&cell, link, &waiters[index]);
            AGREE(joined == !done);
            if (!joined)
                asi_link_free(link);
            links[index] = joined ? link : NULL;
        }
        AGREE(asi_cell_done(&cell) == done);
    }
    for (int i = 0; i < WAITERS; i++) {
        if (links[i] && !asi_cell_leave(&cell, links[i]))
            asi_link_free(links[i]);
    }
    asi_cell_fini(&cell);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const uses[])(struct bytes *) = {
            use_mailbox, use_ring, use_timers, use_slabs, use_cell};
    struct bytes bytes = {data, data + size};

    if (size > 0)
        uses[next_byte(&bytes) % (sizeof(uses) / sizeof(*uses))](&bytes);
    return 0;
}
