/* SPDX-License-Identifier: MIT */
/*
 * Looking for a short time before sleeping.
 *
 * Putting a thread to sleep and waking it on another core costs far more than all else that a
 * hand-over does.  So a waiter first looks for about as long as such a wake takes (gauge.h measures
 * it): never more than twice the best possible (the classic bound for rent-or-buy).  How it looks
 * depends on who else wants its processor:
 *
 *   alone    it looks at short distances; now and then it offers the processor, which costs a
 *            system call, and learns whether somebody took it.
 *   crowded  somebody did, or there is one processor: looking on would take it from those who could
 *            do what is waited for.  So it only offers the processor, a few times, then sleeps.
 *            Each offer lets all others run once: one system call for each thread instead of a
 *            sleep and a wake.
 *
 * Each waiter learns:
 *
 *   - after n failures in a row it leaves out the next 2^n - 1 tries; a success halves n, and a
 *     sleep that turned out so short that looking would have been enough ends the leaving out;
 *   - a look that was kept from its processor for long is a failure, whatever it found;
 *   - it keeps an account of processor time: looking is paid for by what sleeping would have cost.
 *     A waiter in debt sleeps.  So looking at most doubles the processor time of the same work.
 *   - who finds at once what it waits for, again and again, offers the processor to others after
 *     each so many times: else it would have it for whole slices, and others that wait for the
 *     same worker none of it.
 *
 *      struct asi_look look;
 *      asi_look_begin(&look, spin, policy);
 *      while (!ready() && asi_look_again(&look))
 *          ;
 *      asi_look_end(&look, ready());
 */
#ifndef ASI_THREAD_SPIN_H
#define ASI_THREAD_SPIN_H

#include <anysync/base.h>

#include <stdbool.h>
#include <stdint.h>

/* What one waiter has learned.  All zero is a fresh one. [its thread only] */
struct asi_spin {
    int64_t limit_ns;  /* how long to look; 0: as all threads; below 0: as was measured */
    int64_t debt_ns;   /* processor time looked beyond what was paid for; below 0: a credit */
    uint32_t failures; /* in a row, roughly: log2 of how many tries to leave out */
    uint32_t skip;     /* tries to leave out from now */
    uint32_t turn;     /* finds at once since the processor was offered */
    uint32_t turns;    /* log2 of how many more than usual of them make a turn */
    bool left_out;     /* the last try was */
    bool serves;       /* others wait for this waiter: in a crowd it is more patient */
    bool quick;        /* in a crowd: some looks before the first offer may do */
    bool crowded;      /* somebody took the processor when it was offered last */
};

enum asi_spin_policy { ASI_SPIN_ADAPTIVE, ASI_SPIN_NEVER, ASI_SPIN_ALWAYS };

struct asi_look {
    struct asi_spin *spin;
    anysync_time start; /* 0 until the clock was read */
    anysync_time last;  /* the last reading */
    unsigned round;     /* looks so far */
    unsigned free;      /* of them, before the first offer */
    unsigned limit;     /* looks allowed; 0: none */
    unsigned offers;    /* of the processor, that somebody took */
    bool crowded;       /* only offer it */
    bool interrupted;   /* somebody else had our processor for long */
};

void asi_look_begin(struct asi_look *look, struct asi_spin *spin, enum asi_spin_policy policy);

/* Wait a moment.  Returns false when it is time to sleep. */
bool asi_look_again(struct asi_look *look);

/* FOUND: whether what was looked for came. */
void asi_look_end(struct asi_look *look, bool found);

/* Around a sleep: what begin returns goes to end, if what was waited for ended the sleep. */
anysync_time asi_sleep_begin(const struct asi_spin *spin);
void asi_sleep_end(struct asi_spin *spin, anysync_time start);

/* How many processors this process may use; at least 1.  Read once. */
unsigned asi_processors(void);

/* What threads do that wait outside of any loop: the policy, and how long to look, 0: as was
 * measured.  [any thread] */
void asi_spin_configure(enum asi_spin_policy policy, int64_t limit_ns);
enum asi_spin_policy asi_spin_policy(void);

/* What was measured: how long a wake takes, what it costs both sides in processor time, how long an
 * offer of the processor takes that nobody wants.  [any thread] */
void asi_spin_measured(int64_t wake_ns, int64_t cost_ns, int64_t offer_ns);

struct asi_spin_figures {
    int64_t wake_ns, cost_ns, offer_ns;
};

void asi_spin_get_measured(struct asi_spin_figures *ret_figures);

#endif
