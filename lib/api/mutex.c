/* SPDX-License-Identifier: MIT */
/*
 * Mutexes.
 *
 * A holder, and a line of those who wait (sched/turn.h), under a lock that costs nothing as long as
 * one loop's coroutines have the mutex for themselves (thread/owned.h).  An unlock makes the first
 * in line the holder in the same step, so nobody can come in between.
 *
 * WHO  A task or a job is known by its record, all else by the number of its thread.
 *
 * THE END OF A HOLDER  is seen by a hook: a task or job that holds a mutex has one, which it put in
 *   itself and takes out when it unlocks.  If it ends before, nobody gets the mutex any more.  In
 *   line it has another one: who was handed the mutex, and is abandoned before it runs again, never
 *   came to what the mutex guards, so the next in line has it.
 *
 * WAIT-FOR GRAPH  Who waits for a mutex waits for its holder (sched/graph.h).  There are two ways:
 *   - Light: the mutex belongs to one loop (its lock has that owner), holder and waiter are tasks
 *     of it.  All who wait point to one record, `light`, whose target is the holder, so that a
 *     hand-over changes one pointer.  Only that loop's thread reads or writes it.
 *   - Published: anybody else is a party in an edge of its own, whose aim is `holder`, with a
 *     reference; NULL, of a thread that holds it, is a way out.
 *   When another thread comes to a mutex that one loop had for itself, those who wait in the light
 *   way go on doing so.  While the holder is not of their loop, `light` has no target, and they are
 *   a way out: what could be found is missed then, never is something found that is not.
 */
#include "api/mutex.h"

#include "base/memory.h"
#include "base/race.h"
#include "sched/error.h"
#include "sched/turn.h"
#include "thread/fork.h"
#include "thread/owned.h"
#include "thread/refs.h"

#include <errno.h>

/* Who holds it, or wants it. */
struct who {
    struct anysync_task *task; /* a task or job; NULL: anybody else */
    unsigned thread;           /* of a thread, then */
};

struct anysync_mutex {
    struct asi_owned lock;
    struct asi_refs refs;
    uint32_t generation;            /* [const] of the process that made it */
    bool held;                      /* [lock] */
    bool lost;                      /* [lock] its holder has ended */
    struct who who;                 /* [lock] while `held`, or `lost` */
    struct asi_list line;           /* [lock] struct place */
    struct asi_task_hook hook;      /* of who.task, of its thread alone */
    struct asi_scheduler *home;     /* [loop] whose tasks have waited in the light way */
    struct asi_local_wait light;    /* [loop] see above */
    struct anysync_future *holder;  /* [lock, and while somebody waits the graph's] owned */
    struct anysync_future *lost_to; /* [lock] owned, while `lost` */
};

/* Somebody in line, on its own stack. */
struct place {
    struct asi_turn turn;
    struct who who;
    bool granted; /* [lock, and the graph's] */
    struct anysync_mutex *mutex;
    struct asi_task_hook hook; /* of who.task, of its thread alone, while it waits */
};

static struct who who_calls(void)
{
    struct asi_scheduler *here = asi_scheduler_here();
    struct anysync_task *task = here ? here->current : asi_local.job;

    return (struct who){task, task ? 0 : asi_local_serial()};
}

static inline bool is_same(const struct who *left, const struct who *right)
{
    return left->task == right->task && left->thread == right->thread;
}

/* TASK (may be NULL) is the holder now, as far as those of this loop can tell who wait in the light
 * way, if there are any. */
static inline void aim_light(struct anysync_mutex *mutex, struct anysync_task *task)
{
    struct asi_scheduler *here = asi_scheduler_here();

    if (!here || mutex->home != here)
        return;
    mutex->light.target = task && task->scheduler == here ? task : NULL;
    here->waits_ended++;
}

/* --- the end of a holder ---------------------------------------------------------------------- */

static void holder_ended(struct asi_task_hook *hook, struct anysync_task *task);

/* The caller, which is TASK, has MUTEX: it will be known if it ends with it. */
static inline void hook_in(struct anysync_mutex *mutex, struct anysync_task *task)
{
    mutex->hook.ending = NULL;
    mutex->hook.ended = holder_ended;
    asi_task_hook_in(task, &mutex->hook);
}

static void holder_ended(struct asi_task_hook *hook, struct anysync_task *task)
{
    struct anysync_mutex *mutex = asi_container_of(hook, struct anysync_mutex, hook);
    struct anysync_future *former;
    struct asi_list chain;

    asi_list_init(&chain);
    bool owner = asi_owned_take(&mutex->lock);
    asi_graph_begin_change();
    mutex->held = false;
    mutex->lost = true;
    aim_light(mutex, NULL);
    mutex->lost_to = anysync_future_ref(&task->future);
    former = mutex->holder;
    mutex->holder = NULL;
    asi_turn_take_all(&mutex->line, &chain, -ENOTRECOVERABLE);
    asi_graph_end_change();
    asi_owned_give(&mutex->lock, owner);
    anysync_future_unref(former);
    asi_turn_deliver_all(&chain);
}

/* --- [lock] the holder ------------------------------------------------------------------------ */

/* WHO has it now.  KNOWN: others may have to look at the holder from other threads. */
static inline void give_to(struct anysync_mutex *mutex, const struct who *who, bool known)
{
    mutex->held = true;
    mutex->who = *who;
    if (ASI_LIKELY(!known))
        return;
    mutex->holder = who->task ? anysync_future_ref(&who->task->future) : NULL;
}

/* The lock was not taken by its owner: the holder has to be known from now on.  (If somebody waits
 * in an edge it is known already, and nothing is written.) */
static void make_known(struct anysync_mutex *mutex)
{
    if (mutex->held && !mutex->holder && mutex->who.task)
        mutex->holder = anysync_future_ref(&mutex->who.task->future);
}

/* The holder gives it up.  Returns who has to be told, NULL: nobody waits.  RET_FORMER: a reference
 * to be dropped outside the lock. */
static inline __attribute__((always_inline)) struct asi_turn *pass_on(
        struct anysync_mutex *mutex, bool by_owner, struct anysync_future **ret_former)
{
    struct asi_turn *turn = asi_turn_first(&mutex->line);

    *ret_former = mutex->holder;
    mutex->holder = NULL;
    mutex->held = false;
    if (turn) {
        struct place *place = asi_container_of(turn, struct place, turn);
        asi_turn_take(turn, 0);
        place->granted = true;
        give_to(mutex, &place->who, !by_owner);
    }
    aim_light(mutex, turn ? mutex->who.task : NULL);
    return turn;
}

/* [lock] Whoever has it does not any more; the lock, taken by its OWNER or not, is given back. */
static inline __attribute__((always_inline)) void let_go(struct anysync_mutex *mutex, bool owner)
{
    struct anysync_future *former;

    bool watched = !owner && !asi_list_is_empty(&mutex->line);
    if (watched)
        asi_graph_begin_change();
    struct asi_turn *turn = pass_on(mutex, owner, &former);
    if (watched)
        asi_graph_end_change();
    asi_owned_give(&mutex->lock, owner);
    anysync_future_unref(former);
    if (turn)
        asi_turn_deliver(turn);
}

/* --- locking ---------------------------------------------------------------------------------- */

/* Its task is abandoned in line, or was handed the mutex and has not come to know. */
static void leave_abandoned(struct asi_task_hook *hook, struct anysync_task *task)
{
    struct place *place = asi_container_of(hook, struct place, hook);
    struct anysync_mutex *mutex = place->mutex;
    bool owner = asi_owned_take(&mutex->lock);

    (void)task;
    if (place->turn.waits)
        asi_turn_take(&place->turn, -ECANCELED);
    if (place->granted)
        let_go(mutex, owner);
    else
        asi_owned_give(&mutex->lock, owner);
}

static __attribute__((noinline)) int say_why(const struct anysync_mutex *mutex, int error)
{
    switch (error) {
    case 0:
        return 0;
    case -EDEADLK:
        if (asi_world() != ASI_WORLD_CALLBACK)
            return error; /* the cycle was noted */
        return asi_call_fails(error,
                "a callback of the loop cannot wait for a mutex: spawn a coroutine that does, or "
                "use ANYSYNC_POLL");
    case -ENOTRECOVERABLE:
        return asi_call_fails(error, "%s ended while it held the mutex: nobody gets it any more",
                asi_task_name(asi_task_of(mutex->lost_to)));
    case -EOWNERDEAD:
        return asi_call_fails(error, "the mutex is of the process this one was forked from");
    default:
        return asi_call_fails(error, NULL);
    }
}

/* [lock] Take it, if it can be now: 0; or -EAGAIN, or why it never can. */
static inline int take_now(struct anysync_mutex *mutex, const struct who *who, bool known)
{
    if (ASI_UNLIKELY(mutex->lost))
        return -ENOTRECOVERABLE;
    if (mutex->held)
        return -EAGAIN;
    give_to(mutex, who, known);
    return 0;
}

/* PLACE, of a task of the loop that owns the mutex, is in line.  As asi_turn_sleep(). */
static int sleep_light(struct anysync_mutex *mutex, struct place *place, anysync_time deadline)
{
    if (!mutex->light.target)
        return asi_turn_sleep(&place->turn, deadline, true);
    return asi_wait_local_for(&mutex->light, &place->turn.woken, deadline);
}

/* The same for anybody else.  RET_EXTRA: as asi_party_wait_aimed(). */
static int sleep_published(
        struct anysync_mutex *mutex, struct place *place, anysync_time deadline, bool *ret_extra)
{
    struct asi_aim aim = {.futures = &mutex->holder,
            .count = 1,
            .hidden = true,
            .loose = true,
            .over = &place->granted};

    return asi_party_wait_aimed(&place->turn.party, 0, deadline, true, &aim, ret_extra);
}

/* PLACE was put in line: wait, or leave the line again. */
static int wait_in_line(struct anysync_mutex *mutex, struct place *place, anysync_time deadline)
{
    struct asi_turn *turn = &place->turn;
    bool extra = false;
    int error = turn->task ? sleep_light(mutex, place, deadline)
                           : sleep_published(mutex, place, deadline, &extra);

    if (!error)
        return turn->status;
    asi_race_point();
    bool owner = asi_owned_take(&mutex->lock);
    bool waits = turn->waits;
    if (waits)
        asi_turn_take(turn, error);
    asi_owned_give(&mutex->lock, owner);
    if (waits)
        return error;
    if (turn->task)
        (void)asi_turn_sleep(turn, ANYSYNC_FOREVER, false); /* it is on its way */
    else
        while (asi_party_wait(&turn->party, extra, ANYSYNC_FOREVER, false) != 0)
            ;
    return turn->status;
}

/* It is the caller's, by PLACE's turn. */
static void settle(struct anysync_mutex *mutex, const struct who *who)
{
    if (!who->task)
        return;
    hook_in(mutex, who->task);
    aim_light(mutex, who->task);
}

/* PLACE, for WHO, in line; the lock was taken by its OWNER, or not, and is given back. */
static void join(
        struct anysync_mutex *mutex, struct place *place, const struct who *who, bool owner)
{
    struct asi_scheduler *here = asi_scheduler_here();

    asi_turn_init(&place->turn);
    place->who = *who;
    place->granted = false;
    place->mutex = mutex;
    if (owner && place->turn.task) {
        mutex->home = here;
        mutex->light.target = mutex->who.task;
    } else if (place->turn.task) {
        place->turn.task = NULL; /* its wait can be seen: it is a party */
        asi_party_init(&place->turn.party, ASI_WORLD_TASK);
    }
    asi_turn_join(&mutex->line, &place->turn);
}

/* Take it now (-EAGAIN: that is not possible), or join the line with PLACE, if it is there. */
static int attempt(struct anysync_mutex *mutex, const struct who *who, struct place *place)
{
    bool owner = asi_owned_take(&mutex->lock);

    if (!owner)
        make_known(mutex);
    int status = take_now(mutex, who, !owner);
    bool again = status == -EAGAIN && is_same(&mutex->who, who);
    if (status == -EAGAIN && !again && place)
        join(mutex, place, who, owner);
    asi_owned_give(&mutex->lock, owner);
    if (!again)
        return status;
    (void)asi_call_fails(-EDEADLK, "the caller holds the mutex already");
    return -EDEADLK;
}

static __attribute__((noinline)) int lock_slowly(struct anysync_mutex *mutex, anysync_time deadline)
{
    struct who who = who_calls();
    struct place place;

    if (mutex->generation != asi_fork_generation)
        return say_why(mutex, -EOWNERDEAD);
    int status = attempt(mutex, &who, NULL);
    if (status == -EAGAIN) {
        status = asi_turn_may_wait(deadline);
        if (status)
            return say_why(mutex, status);
        status = attempt(mutex, &who, &place);
        if (status == -EAGAIN) {
            asi_task_wait_in(who.task, &place.hook, leave_abandoned);
            status = wait_in_line(mutex, &place, deadline);
            asi_task_wait_out(who.task, &place.hook);
        }
    }
    if (status == 0)
        settle(mutex, &who);
    return say_why(mutex, status);
}

int anysync_mutex_lock(struct anysync_mutex *mutex, anysync_time deadline)
{
    struct asi_scheduler *here = asi_scheduler_here();

    if (ASI_UNLIKELY(mutex->generation != asi_fork_generation || !asi_owned_enter(&mutex->lock)))
        return lock_slowly(mutex, deadline);
    bool free_one = !mutex->held && !mutex->lost && here && here->current;
    if (ASI_LIKELY(free_one)) {
        mutex->held = true;
        mutex->who = (struct who){here->current, 0};
    }
    asi_owned_leave(&mutex->lock);
    if (ASI_UNLIKELY(!free_one))
        return lock_slowly(mutex, deadline);
    hook_in(mutex, here->current);
    return 0;
}

int asi_mutex_lock_again(struct anysync_mutex *mutex)
{
    struct who who = who_calls();
    struct place place;
    int status = attempt(mutex, &who, &place);

    if (status == -EAGAIN) {
        asi_task_wait_in(who.task, &place.hook, leave_abandoned);
        if (place.turn.task)
            (void)asi_turn_sleep(&place.turn, ANYSYNC_FOREVER, false);
        else
            while (asi_party_wait(&place.turn.party, 0, ANYSYNC_FOREVER, false) != 0)
                ;
        asi_task_wait_out(who.task, &place.hook);
        status = place.turn.status;
    }
    if (status == 0)
        settle(mutex, &who);
    return say_why(mutex, status);
}

int asi_mutex_check(const struct anysync_mutex *mutex)
{
    return mutex->generation == asi_fork_generation ? 0 : say_why(mutex, -EOWNERDEAD);
}

bool asi_mutex_is_mine(struct anysync_mutex *mutex)
{
    struct who who = who_calls();
    bool owner = asi_owned_take(&mutex->lock);
    bool mine = mutex->held && is_same(&mutex->who, &who);

    asi_owned_give(&mutex->lock, owner);
    return mine;
}

/* --- unlocking -------------------------------------------------------------------------------- */

void anysync_mutex_unlock(struct anysync_mutex *mutex)
{
    struct who who = who_calls();

    if (ASI_UNLIKELY(mutex->generation != asi_fork_generation))
        return;
    bool owner = asi_owned_take(&mutex->lock);
    ASI_ASSERT(mutex->held && is_same(&mutex->who, &who),
            "who unlocks a mutex has to hold it: the task, job or thread that locked it");
    if (who.task)
        asi_task_hook_out(who.task, &mutex->hook);
    let_go(mutex, owner);
}

/* --- life ------------------------------------------------------------------------------------- */

int anysync_mutex_new(struct anysync_mutex **ret_mutex)
{
    struct anysync_mutex *mutex = asi_allocate_zero(sizeof(*mutex));

    if (!mutex)
        return asi_call_fails(-ENOMEM, "no memory for a mutex");
    asi_scheduler_prepare_process();
    asi_owned_init(&mutex->lock, true);
    asi_refs_init(&mutex->refs, 1);
    mutex->generation = asi_fork_generation;
    asi_list_init(&mutex->line);
    *ret_mutex = mutex;
    return 0;
}

struct anysync_mutex *anysync_mutex_ref(struct anysync_mutex *mutex)
{
    asi_refs_add(&mutex->refs);
    return mutex;
}

struct anysync_mutex *anysync_mutex_unref(struct anysync_mutex *mutex)
{
    if (!mutex || !asi_refs_drop(&mutex->refs))
        return NULL;
    ASI_ASSERT(mutex->generation != asi_fork_generation ||
                       (!mutex->held && asi_list_is_empty(&mutex->line)),
            "a mutex was dropped while somebody holds it: unlock it before");
    anysync_future_unref(mutex->lost_to);
    asi_free(mutex);
    return NULL;
}
