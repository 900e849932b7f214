/* SPDX-License-Identifier: MIT */
/*
 * Limiters.  (The idea: limiter.h.)
 *
 * GRANTING  Whoever changes the count (a token comes back, the total grows) takes the claims that
 *   can be served now off the list, with their tokens, under the lock, and tells their owners after
 *   it.  A claim that was taken off is told exactly once, so its owner may not go before that: who
 *   gives up withdraws the claim or, if it is gone, waits for the delivery and passes the token on.
 *
 * One lock serves all limiters, as it has to be taken for a fork() too.  It is held for a few
 * instructions, twice for each job.  No thread is woken or started, and no job ended, under it.
 */
#include "sched/limiter.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/race.h"
#include "sched/error.h"
#include "sched/graph.h"
#include "sched/job.h"
#include "sched/wait.h"
#include "thread/fork.h"
#include "thread/local.h"
#include "thread/lock.h"
#include "thread/once.h"
#include "thread/refs.h"

#include <errno.h>
#include <string.h>

enum {
    DEFAULT_TOTAL = 40,
    NAMES_TOTAL = 8,
    CLOSES_TOTAL = 8,
    PATIENCE_NS = 20 * ASI_NS_PER_MS, /* how long a job waits to have its token again */
    MOST_HOLDERS = 8
};

/* What each job changes comes first, in one line. */
struct anysync_limiter {
    size_t total;          /* [lock] */
    size_t borrowed;       /* [lock] may be more than total */
    size_t waiting;        /* [lock] claims in both lists */
    size_t known;          /* [lock] of the holders */
    bool open;             /* [as holders] a token is with somebody who is not among them */
    bool moves;            /* [lock] a token was released by another than acquired it */
    bool inherited;        /* [lock] from the process this one was forked from, with its tokens */
    struct asi_refs refs;  /* not of those that are always there */
    struct asi_list first; /* [lock] claims of jobs that had a token before; NULLs: never used */
    struct asi_list queue; /* [lock] all others */
    /* [lock, and while somebody waits the graph's] tasks that acquired a token; each a reference */
    struct anysync_future *holders[MOST_HOLDERS];
    struct anysync_limiter *next; /* [lock] all limiters */
};

static _Alignas(64) struct asi_lock lock = ASI_LOCK_INIT;
static struct anysync_limiter unlimited = {.total = SIZE_MAX,
        .first = {&unlimited.first, &unlimited.first},
        .queue = {&unlimited.queue, &unlimited.queue}};
static struct anysync_limiter names = {.total = NAMES_TOTAL,
        .first = {&names.first, &names.first},
        .queue = {&names.queue, &names.queue},
        .next = &unlimited};
static struct anysync_limiter closes = {.total = CLOSES_TOTAL,
        .first = {&closes.first, &closes.first},
        .queue = {&closes.queue, &closes.queue},
        .next = &names};
static _Alignas(64) struct anysync_limiter usual = {.total = DEFAULT_TOTAL,
        .first = {&usual.first, &usual.first},
        .queue = {&usual.queue, &usual.queue},
        .next = &closes};
static struct anysync_limiter *all = &usual; /* [lock] */

/* --- fork ------------------------------------------------------------------------------------- */

static void before_fork(void)
{
    asi_lock_take(&lock);
}

static void after_fork(void)
{
    asi_lock_give(&lock);
}

/* Who held a token or waited for one is not here: all tokens are back. */
static void in_child(void)
{
    for (struct anysync_limiter *limiter = all; limiter; limiter = limiter->next) {
        asi_list_init(&limiter->first);
        asi_list_init(&limiter->queue);
        limiter->borrowed = 0;
        limiter->waiting = 0;
        memset(limiter->holders, 0, sizeof(limiter->holders));
        limiter->known = 0;
        limiter->open = false;
        limiter->inherited = true;
    }
}

static void prepare(void)
{
    static const struct asi_fork_part part = {before_fork, in_child, after_fork};

    asi_fork_add(&part);
}

static void prepare_process(void)
{
    static struct asi_once once = ASI_ONCE_INIT;

    asi_scheduler_prepare_process();
    asi_once_run(&once, prepare);
}

/* --- holders ----------------------------------------------------------------------------------
 *
 * Who waits for a token waits for one of those who hold one.  If all of them are known to be tasks
 * or jobs that acquired it themselves, the wait can be seen to be without end.  A token that is
 * with a thread, with an offloaded job (which gives it back while it waits), or with a ninth task
 * is a way out as far as can be told. */

/* A task or thread in line. */
struct in_line {
    struct asi_claim claim;
    struct asi_party party;
    struct anysync_task *who; /* NULL: a thread, or a job that wants its own token again */
    bool granted;             /* [lock, and the graph's] */
    struct anysync_limiter *limiter;
    struct asi_task_hook hook; /* of party.task, while it waits */
};

static struct anysync_task *who_calls(void)
{
    struct asi_scheduler *here = asi_scheduler_here();

    return here ? here->current : asi_local.job;
}

/* [lock] WHO has a token more.  NULL: somebody who is not known. */
static void add_holder(struct anysync_limiter *limiter, struct anysync_task *who)
{
    for (size_t i = 0; who && !limiter->moves && i < MOST_HOLDERS; i++) {
        if (limiter->holders[i])
            continue;
        limiter->holders[i] = anysync_future_ref(&who->future);
        limiter->known++;
        break;
    }
    limiter->open = limiter->moves || limiter->known < limiter->borrowed;
}

/* [lock] WHO has a token less.  Returns a reference to drop outside the lock, or NULL. */
static struct anysync_future *remove_holder(
        struct anysync_limiter *limiter, const struct anysync_task *who)
{
    struct anysync_future *removed = NULL;

    for (size_t i = 0; who && !removed && i < MOST_HOLDERS; i++) {
        if (limiter->holders[i] != &who->future)
            continue;
        removed = limiter->holders[i];
        limiter->holders[i] = NULL;
        limiter->known--;
    }
    if ((who && !removed) || limiter->known > limiter->borrowed) /* it was another's token */
        limiter->moves = true;
    limiter->open = limiter->moves || limiter->known < limiter->borrowed;
    return removed;
}

/* --- granting --------------------------------------------------------------------------------- */

/* [lock] Take CLAIM off its list. */
static void take_off(struct anysync_limiter *limiter, struct asi_claim *claim)
{
    ASI_ASSERT(limiter->waiting > 0, "fewer claims wait than are on lists");
    ASI_ASSERT(claim->list.previous, "a claim was taken off its list twice");
    asi_list_remove(&claim->list);
    claim->list.previous = NULL;
    limiter->waiting--;
}

/* [lock] The claims that have a token now: a chain by list.next, to be told outside the lock. */
static struct asi_list *grant(struct anysync_limiter *limiter)
{
    struct asi_list *granted = NULL, **last = &granted;

    while (limiter->waiting > 0 && limiter->borrowed < limiter->total) {
        struct asi_list *list =
                asi_list_is_empty(&limiter->first) ? &limiter->queue : &limiter->first;
        struct asi_claim *claim = asi_container_of(list->next, struct asi_claim, list);
        take_off(limiter, claim);
        struct in_line *place =
                claim->party ? asi_container_of(claim, struct in_line, claim) : NULL;
        if (place && asi_party_is_gone(&place->party))
            continue; /* it was abandoned in its wait */
        limiter->borrowed++;
        if (place)
            place->granted = true;
        add_holder(limiter, place ? place->who : NULL);
        claim->list.next = NULL;
        *last = &claim->list;
        last = &claim->list.next;
    }
    return granted;
}

/* Tell them.  A job that could not be launched gives its token back: then there may be more. */
static void tell(struct asi_list *granted)
{
    while (granted) {
        struct asi_claim *claim = asi_container_of(granted, struct asi_claim, list);
        granted = granted->next; /* its owner goes with the claim */
        asi_race_point();
        if (claim->party)
            asi_party_deliver(claim->party);
        else
            asi_job_launch(asi_job_of_claim(claim));
    }
}

/* [lock] */
static bool take_now(struct anysync_limiter *limiter, struct anysync_task *who)
{
    bool free_one = limiter->borrowed < limiter->total && limiter->waiting == 0;

    if (free_one) {
        limiter->borrowed++;
        add_holder(limiter, who);
    }
    return free_one;
}

/* [lock] */
static void enqueue(struct anysync_limiter *limiter, struct asi_list *list, struct asi_claim *claim)
{
    asi_list_add(list, &claim->list);
    limiter->waiting++;
}

bool asi_limiter_ask(struct anysync_limiter *limiter, struct asi_claim *claim)
{
    prepare_process();
    asi_lock_take(&lock);
    bool got = take_now(limiter, NULL);
    claim->party = NULL;
    if (got)
        claim->list.previous = NULL;
    else
        enqueue(limiter, &limiter->queue, claim);
    asi_lock_give(&lock);
    return got;
}

bool asi_limiter_withdraw(struct anysync_limiter *limiter, struct asi_claim *claim)
{
    asi_lock_take(&lock);
    bool waiting = claim->list.previous;
    if (waiting)
        take_off(limiter, claim);
    asi_lock_give(&lock);
    return waiting;
}

/* A token of WHO (NULL: somebody who is not known) comes back.  False: nobody has one. */
static bool give_back(struct anysync_limiter *limiter, const struct anysync_task *who)
{
    asi_lock_take(&lock);
    bool watched = limiter->waiting > 0;
    bool right = limiter->borrowed > 0 || limiter->inherited;
    if (watched)
        asi_graph_begin_change();
    if (limiter->borrowed > 0)
        limiter->borrowed--;
    struct anysync_future *former = remove_holder(limiter, who);
    struct asi_list *granted = grant(limiter);
    if (watched)
        asi_graph_end_change();
    asi_lock_give(&lock);
    anysync_future_unref(former);
    tell(granted);
    return right;
}

void asi_limiter_give_back(struct anysync_limiter *limiter)
{
    (void)give_back(limiter, NULL);
}

/* The wait for PLACE's token ended without it, but with EXTRA deliveries.  True: it was granted
 * just now, and has arrived.  PLACE may go. */
static bool granted_after_all(
        struct anysync_limiter *limiter, struct in_line *place, uint32_t extra)
{
    if (asi_limiter_withdraw(limiter, &place->claim))
        return false;
    while (asi_party_wait(&place->party, extra, ANYSYNC_FOREVER, false) != 0)
        ;
    return true;
}

/* Its task is abandoned in line, or was granted a token and never came to have it. */
static void leave_abandoned(struct asi_task_hook *hook, struct anysync_task *task)
{
    struct in_line *place = asi_container_of(hook, struct in_line, hook);

    if (!asi_limiter_withdraw(place->limiter, &place->claim))
        give_back(place->limiter, task);
}

/* [lock] A job has its token again. */
static void borrow_one_more(struct anysync_limiter *limiter)
{
    bool watched = limiter->waiting > 0;

    if (watched)
        asi_graph_begin_change();
    limiter->borrowed++;
    add_holder(limiter, NULL);
    if (watched)
        asi_graph_end_change();
}

void asi_limiter_take_again(struct anysync_limiter *limiter)
{
    struct in_line place = {.claim = {.party = &place.party}};

    asi_lock_take(&lock);
    bool got = limiter->borrowed < limiter->total && asi_list_is_empty(&limiter->first);
    if (got) {
        borrow_one_more(limiter);
    } else {
        asi_party_init(&place.party, ASI_WORLD_THREAD);
        enqueue(limiter, &limiter->first, &place.claim);
    }
    asi_lock_give(&lock);
    if (got || !asi_party_wait(&place.party, 0, anysync_in_ns(PATIENCE_NS), false) ||
            granted_after_all(limiter, &place, 0))
        return;
    asi_lock_take(&lock);
    borrow_one_more(limiter); /* one too many, until somebody gives one back */
    asi_lock_give(&lock);
}

/* --- the public calls ------------------------------------------------------------------------- */

struct anysync_limiter *asi_limiter_or_default(struct anysync_limiter *limiter)
{
    return limiter ? limiter : &usual;
}

struct anysync_limiter *asi_limiter_unlimited(void)
{
    return &unlimited;
}

struct anysync_limiter *asi_limiter_of_names(void)
{
    return &names;
}

struct anysync_limiter *asi_limiter_of_closes(void)
{
    return &closes;
}

struct anysync_limiter *anysync_default_limiter(void)
{
    return &usual;
}

int anysync_limiter_new(size_t total, struct anysync_limiter **ret_limiter)
{
    if (total == 0)
        return asi_call_fails(-EINVAL, "a limiter without tokens would let nobody pass");
    struct anysync_limiter *limiter = asi_allocate_zero(sizeof(*limiter));
    if (!limiter)
        return asi_call_fails(-ENOMEM, "no memory for a limiter");
    prepare_process();
    asi_refs_init(&limiter->refs, 1);
    limiter->total = total;
    asi_list_init(&limiter->first);
    asi_list_init(&limiter->queue);
    asi_lock_take(&lock);
    limiter->next = all;
    all = limiter;
    asi_lock_give(&lock);
    *ret_limiter = limiter;
    return 0;
}

static bool is_always_there(const struct anysync_limiter *limiter)
{
    return limiter == &usual || limiter == &names || limiter == &closes || limiter == &unlimited;
}

struct anysync_limiter *anysync_limiter_ref(struct anysync_limiter *limiter)
{
    if (!is_always_there(limiter))
        asi_refs_add(&limiter->refs);
    return limiter;
}

struct anysync_limiter *anysync_limiter_unref(struct anysync_limiter *limiter)
{
    if (!limiter || is_always_there(limiter) || !asi_refs_drop(&limiter->refs))
        return NULL;
    asi_lock_take(&lock);
    ASI_ASSERT(limiter->waiting == 0, "a limiter was dropped while somebody waits for a token");
    struct anysync_limiter **at = &all;
    while (*at != limiter)
        at = &(*at)->next;
    *at = limiter->next;
    asi_lock_give(&lock);
    for (size_t i = 0; i < MOST_HOLDERS; i++) /* whose tokens others released */
        anysync_future_unref(limiter->holders[i]);
    asi_free(limiter);
    return NULL;
}

int anysync_limiter_try_acquire(struct anysync_limiter *limiter)
{
    prepare_process();
    limiter = asi_limiter_or_default(limiter);
    asi_lock_take(&lock);
    bool got = take_now(limiter, who_calls());
    asi_lock_give(&lock);
    return got ? 0 : asi_call_fails(-EAGAIN, "the limiter has no token left");
}

int anysync_limiter_acquire(struct anysync_limiter *limiter, anysync_time deadline)
{
    enum asi_world world = asi_world();
    struct in_line place = {.claim = {.party = &place.party}, .who = who_calls()};
    int error = world == ASI_WORLD_TASK ? asi_wait_checkpoint() : 0;

    if (error)
        return asi_call_fails(error, NULL);
    prepare_process();
    limiter = asi_limiter_or_default(limiter);
    asi_lock_take(&lock);
    bool got = take_now(limiter, place.who);
    if (!got && world != ASI_WORLD_CALLBACK) {
        asi_party_init(&place.party, world);
        enqueue(limiter, &limiter->queue, &place.claim);
    }
    asi_lock_give(&lock);
    if (got)
        return 0;
    if (world == ASI_WORLD_CALLBACK)
        return asi_call_fails(-EDEADLK,
                "a callback of the loop cannot wait for a token: spawn a coroutine that does, or "
                "use anysync_limiter_try_acquire()");
    struct asi_aim aim = {.futures = limiter->holders,
            .count = MOST_HOLDERS,
            .hidden = true,
            .loose = true,
            .open = &limiter->open,
            .over = &place.granted};
    bool extra;
    place.limiter = limiter;
    asi_task_wait_in(place.party.task, &place.hook, leave_abandoned);
    error = asi_party_wait_aimed(&place.party, 0, deadline, true, &aim, &extra);
    bool late = error && granted_after_all(limiter, &place, extra);
    asi_task_wait_out(place.party.task, &place.hook);
    if (!error)
        return 0;
    if (late)
        give_back(limiter, place.who); /* who gives up has none: the next one gets it */
    return error == -EDEADLK ? error : asi_call_fails(error, NULL);
}

void anysync_limiter_release(struct anysync_limiter *limiter)
{
    bool right;

    prepare_process();
    right = give_back(asi_limiter_or_default(limiter), who_calls());
    ASI_ASSERT(right, "more tokens were released than acquired");
}

int anysync_limiter_set_total(struct anysync_limiter *limiter, size_t total)
{
    if (total == 0)
        return asi_call_fails(-EINVAL, "a limiter without tokens would let nobody pass");
    prepare_process();
    limiter = asi_limiter_or_default(limiter);
    asi_lock_take(&lock);
    limiter->total = total;
    bool watched = limiter->waiting > 0;
    if (watched)
        asi_graph_begin_change();
    struct asi_list *granted = grant(limiter);
    if (watched)
        asi_graph_end_change();
    asi_lock_give(&lock);
    tell(granted);
    return 0;
}

void anysync_limiter_stats(
        struct anysync_limiter *limiter, struct anysync_limiter_figures *ret_figures)
{
    limiter = asi_limiter_or_default(limiter);
    asi_lock_take(&lock);
    *ret_figures = (struct anysync_limiter_figures){
            .total = limiter->total, .borrowed = limiter->borrowed, .waiting = limiter->waiting};
    asi_lock_give(&lock);
}
