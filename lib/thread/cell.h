/* SPDX-License-Identifier: MIT */
/*
 * Cell: done once, and any number of waiters who want to know.
 *
 * A waiter joins with a link.  Completion takes the whole list of links in one step and gives each
 * waiter one delivery.  A waiter that gives up takes its claim back; then the link stays behind,
 * without an owner, until somebody who holds the list finds it.
 *
 *              | complete | join | leave |   "-": may run at the same time
 *   complete   |    X     |  -   |   -   |   "X": not at all: a cell is done once (claim it first)
 *   join       |    -     |  -   |   -   |   leave: each link once, by its waiter
 *   leave      |    -     |  -   |   -   |
 *
 * Progress  all are lock-free; done is wait-free.
 * Order     what came before complete happens before done returning true, join returning false,
 *           and the deliveries.
 * Memory    links come from the recycler.  complete touches neither the cell after its one
 *           exchange nor a waiter after its delivery: who learns that the cell is done may free it
 *           at once.  The callers of the other functions keep it alive meanwhile.
 * Bound     one link for each waiting party, plus as many left behind as there are live ones (at
 *           least eight).
 */
#ifndef ASI_THREAD_CELL_H
#define ASI_THREAD_CELL_H

#include "base/assert.h"
#include "thread/atomic.h"
#include "thread/waiter.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct asi_link {
    struct asi_link *next;                 /* owned by the list, then by who took the list */
    asi_atomic(struct asi_waiter *) owner; /* NULL: delivered or left behind */
};

struct asi_cell {
    asi_atomic(struct asi_link *) head; /* chain of links, or the mark for done */
    asi_atomic(uint32_t) left;          /* links left behind since the last sweep, about */
    asi_atomic(uint32_t) sweep_at;      /* how many live ones the last sweep saw */
    asi_atomic(uint32_t) claimed;       /* whether somebody is completing it */
};

/* relaxed: the cell is published later, by whoever shares it. */
static inline void asi_cell_init(struct asi_cell *cell)
{
    asi_store(&cell->head, NULL, relaxed);
    asi_store(&cell->left, 0, relaxed);
    asi_store(&cell->sweep_at, 0, relaxed);
    asi_store(&cell->claimed, 0, relaxed);
}

/* In `head`: the cell is done.  An address that no link has. */
extern struct asi_link asi_cell_done_mark;

/* Links that a cell had when it was done: deliver to them, or free them. */
void asi_cell_deliver(struct asi_link *chain);
void asi_cell_free_links(struct asi_link *chain);

/* Frees what was left behind.  Nobody else uses the cell any more. */
static inline void asi_cell_fini(struct asi_cell *cell)
{
    struct asi_link *head = asi_load(&cell->head, relaxed); /* alone now */

    if (ASI_UNLIKELY(head != &asi_cell_done_mark))
        asi_cell_free_links(head);
}

static inline bool asi_cell_done(struct asi_cell *cell)
{
    return asi_load(&cell->head, acquire) == &asi_cell_done_mark; /* C1 */
}

/* Whether links are there: a waiter whose join happened before is seen, and some that left too. */
static inline bool asi_cell_awaited(struct asi_cell *cell)
{
    struct asi_link *head = asi_load(&cell->head, relaxed); /* C13 */

    return head && head != &asi_cell_done_mark;
}

/* Ask for the right to complete the cell, where several may want to.  True once. */
bool asi_cell_claim(struct asi_cell *cell);

/* Make it done, and deliver to all.  Async-signal-safe if the wake functions are.  From then on the
 * cell may be gone. */
static inline void asi_cell_complete(struct asi_cell *cell)
{
    struct asi_link *link = asi_exchange(&cell->head, &asi_cell_done_mark, acq_rel); /* C4 */

    if (ASI_UNLIKELY(link))
        asi_cell_deliver(link);
}

/* The same, where the caller is the only one who knows the cell. */
static inline void asi_cell_complete_alone(struct asi_cell *cell)
{
    /* C12: nobody joins or reads any more, but links that were left behind may be there */
    struct asi_link *link = asi_load(&cell->head, relaxed);

    asi_store(&cell->head, &asi_cell_done_mark, relaxed); /* C12 */
    if (ASI_UNLIKELY(link))
        asi_cell_free_links(link);
}

/* A link for asi_cell_join, or NULL when there is no memory. */
struct asi_link *asi_link_new(void);
void asi_link_free(struct asi_link *link);

/* Let WAITER have a delivery when the cell is done.  False: it is done already, and LINK (still the
 * caller's) was not used. */
bool asi_cell_join(struct asi_cell *cell, struct asi_link *link, struct asi_waiter *waiter);

/* Give up.  True: there will be no delivery, and LINK is consumed.  False: there was one or there
 * will be one soon; LINK is the caller's to free once it has come. */
bool asi_cell_leave(struct asi_cell *cell, struct asi_link *link);

#endif
