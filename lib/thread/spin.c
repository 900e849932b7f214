/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* sched_getaffinity() */
/*
 * Looking before sleeping.  (What it promises: spin.h.)
 *
 * THE ACCOUNT  Let a wake cost S of processor time, both sides together.  Without looking, work W
 *   with n waits takes W + nS.  With looking for a sum of L, and s successes, it takes at most
 *   W + L + (n - s)S.  Each wait pays S into the account, each success another S, and a waiter in
 *   debt does not look: so L <= nS + sS, but for one look, and the sum is at most W + 2nS.  Looks
 *   that end before the clock is read take less than S and are not counted.
 *
 * THE TURN  Who finds at once what it waits for offers the processor after a turn.  If nobody takes
 *   it, or somebody keeps it for long (a program that computes), turns become longer, else shorter.
 *   So each of many waiters has its turn after a fraction of a millisecond, beside a program that
 *   computes a waiter keeps its share, and one that is alone hardly pays for it.
 *
 * IN A CROWD  Offering at once is right where the other side shares the processor, some looks
 *   before that where it has another one.  After a try that needed an offer the other way is tried.
 *   A waiter that serves others has more patience: each offer lets all of them wait for a round.
 *
 * ORDERING
 *   F1  the figures, load and store   relaxed   words of their own: each may be read while they are
 *       set, and any mixture will do.
 */
#include "thread/spin.h"

#include "base/clock.h"
#include "thread/atomic.h"

#include <sched.h>
#include <unistd.h>

enum {
    FREE_LOOKS = 64,         /* before the clock is read: a hot answer needs no clock */
    OFFER_EVERY = 64,        /* looks between two offers of the processor */
    QUICK_LOOKS = 32,        /* before the first offer in a crowd, if that may do */
    OFFERS = 12,             /* of the processor in one try, when others take it, */
    OFFERS_ON_ONE = 3,       /* and where there is one processor only */
    TURN = 64,               /* finds at once in the shortest turn; half for who serves others */
    LONELY_TURNS = 4,        /* turns grow to 2^4 of that where nobody takes the processor, */
    MOST_TURNS = 13,         /* to 2^13 where somebody keeps it for long */
    MOST_FAILURES = 10,      /* at worst one try in 1024; */
    MOST_IN_CROWD = 3,       /* in a crowd, where a try is cheap, one in 8 */
    MOST_CREDIT = 8,         /* wakes */
    LONG_NS = ASI_NS_PER_MS, /* more than a round of those who only wait */
    INTERRUPTED_NS = 20 * ASI_NS_PER_US /* more between two readings: somebody else ran here */
};

static asi_atomic(unsigned) processors;
static asi_atomic(int) policy_of_threads = ASI_SPIN_ADAPTIVE;
static asi_atomic(int64_t) limit_of_threads;
static asi_atomic(int64_t) wake_takes = 50000, wake_costs = 5000, offer_takes = 400;

/* As many as this process may use, or as there are. */
static unsigned count_processors(void)
{
#if defined(__linux__)
    cpu_set_t set;

    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
        return (unsigned)CPU_COUNT(&set);
#endif
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (unsigned)online : 1;
}

unsigned asi_processors(void)
{
    unsigned count = asi_load(&processors, relaxed); /* any thread may compute the same number */

    if (count == 0) {
        count = count_processors();
        asi_store(&processors, count, relaxed); /* as above */
    }
    return count;
}

void asi_spin_configure(enum asi_spin_policy policy, int64_t limit_ns)
{
    asi_store(&policy_of_threads, policy, relaxed);  /* F1 */
    asi_store(&limit_of_threads, limit_ns, relaxed); /* F1 */
}

enum asi_spin_policy asi_spin_policy(void)
{
    return (enum asi_spin_policy)asi_load(&policy_of_threads, relaxed); /* F1 */
}

void asi_spin_measured(int64_t wake_ns, int64_t cost_ns, int64_t offer_ns)
{
    asi_store(&wake_takes, wake_ns, relaxed);   /* F1 */
    asi_store(&wake_costs, cost_ns, relaxed);   /* F1 */
    asi_store(&offer_takes, offer_ns, relaxed); /* F1 */
}

void asi_spin_get_measured(struct asi_spin_figures *ret_figures)
{
    ret_figures->wake_ns = asi_load(&wake_takes, relaxed);   /* F1 */
    ret_figures->cost_ns = asi_load(&wake_costs, relaxed);   /* F1 */
    ret_figures->offer_ns = asi_load(&offer_takes, relaxed); /* F1 */
}

static int64_t limit_of(const struct asi_spin *spin)
{
    int64_t limit_ns = spin->limit_ns;

    if (limit_ns == 0)
        limit_ns = asi_load(&limit_of_threads, relaxed);             /* F1 */
    return limit_ns > 0 ? limit_ns : asi_load(&wake_takes, relaxed); /* F1 */
}

/* Into the account of SPIN, for one wait that looked for SPENT_NS. */
static void pay(struct asi_spin *spin, int64_t spent_ns, bool found)
{
    int64_t cost_ns = asi_load(&wake_costs, relaxed); /* F1 */
    int64_t debt_ns = spin->debt_ns + spent_ns - (found ? 2 * cost_ns : cost_ns);

    spin->debt_ns = debt_ns > -MOST_CREDIT * cost_ns ? debt_ns : -MOST_CREDIT * cost_ns;
}

/* Looks before the processor is offered. */
static unsigned free_looks(const struct asi_spin *spin, bool crowded)
{
    if (!crowded)
        return FREE_LOOKS;
    if (!spin->quick)
        return 0;
    return spin->serves ? FREE_LOOKS : QUICK_LOOKS;
}

void asi_look_begin(struct asi_look *look, struct asi_spin *spin, enum asi_spin_policy policy)
{
    look->spin = spin;
    look->start = 0;
    look->round = 0;
    look->offers = 0;
    look->interrupted = false;
    look->crowded = spin->crowded || asi_processors() == 1;
    look->free = free_looks(spin, look->crowded);
    look->limit = UINT32_MAX;
    spin->left_out = false;
    if (policy == ASI_SPIN_NEVER) {
        look->limit = 0;
    } else if (policy == ASI_SPIN_ADAPTIVE && (spin->skip > 0 || spin->debt_ns > 0)) {
        look->limit = 0;
        spin->left_out = true;
        spin->skip -= spin->skip > 0;
        pay(spin, 0, false);
    }
}

/* Offer the processor.  Returns whether somebody took it. */
static bool offer(struct asi_look *look)
{
    anysync_time before = anysync_now();

    sched_yield();
    look->last = anysync_now();
    int64_t away_ns = look->last - before;
    bool taken = away_ns > 2 * asi_load(&offer_takes, relaxed); /* F1 */
    if (look->start == 0)
        look->start = before;
    if (taken)
        look->start += away_ns; /* what others used is not our spending */
    if (away_ns > LONG_NS)
        look->interrupted = true;
    return taken;
}

/* The end of a turn. */
static void end_turn(struct asi_look *look)
{
    struct asi_spin *spin = look->spin;

    spin->turn = 0;
    spin->crowded = offer(look);
    if (spin->crowded && !look->interrupted)
        spin->turns -= spin->turns > 0;
    else if (spin->turns < (look->interrupted ? MOST_TURNS : LONELY_TURNS))
        spin->turns++;
    look->interrupted = false; /* it is no failure of looking */
    look->start = 0;
}

/* Others want the processor, or did. */
static void look_in_a_crowd(struct asi_look *look)
{
    bool one = asi_processors() == 1;

    if (one) {
        sched_yield();
    } else if (!offer(look)) {
        look->crowded = look->spin->crowded = false;
        return;
    }
    if (++look->offers >= (one ? OFFERS_ON_ONE : OFFERS))
        look->limit = look->round;
}

/* Alone, as far as is known.  Returns false when the time is over. */
static bool look_alone(struct asi_look *look)
{
    anysync_time now = anysync_now();
    int64_t limit_ns = limit_of(look->spin);

    if (look->start == 0)
        look->start = now;
    look->last = now;
    if (now - look->start > limit_ns) {
        look->interrupted = now - look->start > limit_ns + INTERRUPTED_NS;
        return false;
    }
    if (offer(look)) {
        look->crowded = look->spin->crowded = true;
        look->offers = 1;
    }
    return true;
}

bool asi_look_again(struct asi_look *look)
{
    if (look->round >= look->limit)
        return false;
    look->round++;
    if (look->crowded && look->round > look->free) {
        look_in_a_crowd(look);
        return true;
    }
    if (look->round == 1 && ++look->spin->turn >= (uint32_t)TURN >> look->spin->serves
                                                                            << look->spin->turns) {
        end_turn(look);
        return true;
    }
    if (look->round > FREE_LOOKS && look->round % OFFER_EVERY == 0)
        return look_alone(look);
    asi_spin_pause();
    return true;
}

void asi_look_end(struct asi_look *look, bool found)
{
    struct asi_spin *spin = look->spin;

    if (look->limit == 0 || look->round == 0)
        return; /* nothing was tried, nothing was learned */
    if (look->start != 0)
        pay(spin, look->last - look->start, found);
    if (look->offers > 0)
        spin->quick = look->free == 0 && asi_processors() > 1;
    uint32_t most = look->crowded ? MOST_IN_CROWD : MOST_FAILURES;
    if (found && !look->interrupted) {
        spin->failures /= 2;
    } else {
        spin->failures = spin->failures < most ? spin->failures + 1 : most;
        spin->skip = (1u << spin->failures) - 1;
    }
}

anysync_time asi_sleep_begin(const struct asi_spin *spin)
{
    return spin->left_out ? anysync_now() : ANYSYNC_FOREVER;
}

void asi_sleep_end(struct asi_spin *spin, anysync_time start)
{
    if (start == ANYSYNC_FOREVER)
        return; /* a look was tried, and has taught what there is to learn */
    int64_t limit_ns = limit_of(spin);
    if (anysync_now() - start < limit_ns + limit_ns / 2) { /* the wake took its time too */
        spin->failures /= 2;
        spin->skip = 0;
    }
}
