/* SPDX-License-Identifier: MIT */
/*
 * The wait-for graph.  (What it is: graph.h.  How it is walked: graph_walk.c.)
 *
 * WHAT IS AN EDGE  A wait that only tasks can end: it has no deadline, is in no scope with one, and
 *   every future in it belongs to a task.  A task T that waits cannot go on before that for which
 *   it waits (a), nor, on a loop whose thread is blocked, before that for which the thread waits
 *   (b).  Both are necessary; so who comes back to the asker by either has found a deadlock.
 *   A cancel from outside may end any wait: it is not counted as a way out.
 *
 * WHO SEES WHAT
 *   - Edges between tasks of one loop: task->local_wait, the loop's thread alone.  Their cost is
 *     a few stores and one look at the target's state.
 *   - All others (published): in `buckets` by waiting task, or in scheduler->blocked, under the
 *     lock.  The waiter has joined the cells before it publishes, and takes the edge back before
 *     it returns from the wait.  So what an edge points to is alive, and while the lock is held an
 *     edge that is neither doomed nor cut ends only by the end of its targets, which a walk asks
 *     for: what a walk sees at once is true at once.
 *   - A walk that comes to another loop's task that has no published edge cannot see further: it
 *     sends a probe, a letter with the way so far, and the walk goes on over there (the edge
 *     chasing of Chandy, Misra and Haas, 1983).  At a loop whose thread is blocked it waits for the
 *     end of that.
 *
 * EVERY CYCLE IS FOUND  by the look around from its edge that is made last, if that looks: the
 *   others are made, so it sees them under the lock, on its own loop, or over there when its probe
 *   is delivered, because letters are taken while no task runs.
 *   An edge A -> B is made without a look in three cases:
 *   1. B is not suspended in an edge, or local edges lead from it to a task that is not.  Then this
 *      edge is not the last one of a cycle.
 *   2. Nobody waits for A: no local waiter, no link in its cell.  (Of edges that leave no trace at
 *      their targets, `hidden`, there is a count; while there are any this is not used.)
 *   3. The wait has too many alternatives, or there was no memory for a probe: a miss.
 *   In case 2 A has the lock (or is on the loop of all the others), and its predecessor W -> A,
 *   if A missed it, joins A's cell after A's time under the lock, and publishes later still.  So
 *   W -> A was not there yet, and A -> B was not the last.  Local edges before A are seen exactly.
 *
 * NO FALSE ALARM  A probe sees the edges of a way at different times.  An edge without a cut (a
 *   cancel, an abandoned task, a doomed one) ends only when its target ends; so if the probe comes
 *   back to an initiator that is in the same wait still (its serial), then backwards from there
 *   nobody on the way has ended, and all edges exist at this moment.  Cuts are counted: if there
 *   was any since the look around began, it begins anew.  A published edge that may end before its
 *   target does (loose: a consumer of a generator on another loop) counts as a cut when it ends.
 *   A local one needs no count: consumer and generator are seen at once, and while the generator
 *   waits it gives no item.  Who has had its delivery, or is just getting it (over), waits no more.
 *   Of a wait for one of several each alternative has to come back, by a probe of its own.  Of one
 *   met on the way only what is seen at once counts; then it is looked at as if it began now.
 *
 * WHO GETS IT  Who closes the cycle; if a probe found it, the initiator, by one more delivery to
 *   its party.  A blocked thread passes it on to the wait that leads back to it: the nested task
 *   that waits for its ancestor's loop is the one that has to do otherwise.  So does who will wait
 *   on whatever happens: a group's close, which its children's waits for the opener lead back to,
 *   and waits that nothing cuts (firm).  They look again then: there may be more that lead back.
 *
 * CHECKED BY  test/test_deadlock.c, test/test_deadlock_threads.c
 */
#include "sched/graph.h"

#include "base/memory.h"
#include "sched/graph_walk.h"
#include "sched/scope.h"
#include "thread/fork.h"
#include "thread/local.h"
#include "thread/lock.h"
#include "thread/recycle.h"

#include <errno.h>
#include <string.h>

enum { BUCKETS = 256, MOST_ALTERNATIVES = 64 };

/* A letter that goes on with a walk on another loop. */
struct probe {
    struct asi_letter letter;
    struct probe *next;         /* [lock] of those that could not be delivered */
    struct anysync_task *node;  /* owned reference; NULL: all tasks of the loop */
    struct anysync_task *task;  /* the initiator; compared until the edge was found */
    struct asi_scheduler *loop; /* likewise */
    uint64_t serial;
    uint64_t cuts;
    unsigned alternative;
    unsigned hops;
    unsigned said;
    struct asi_step steps[];
};

struct asi_local_wait asi_published;

static struct asi_lock lock = ASI_LOCK_INIT;
static struct asi_edge *buckets[BUCKETS]; /* [lock] of tasks */
static uint64_t serials;                  /* [lock] */
static uint64_t cuts;                     /* [lock] waits that ended before their targets */
static struct probe *undelivered;         /* [lock] */
static struct asi_walk walk;              /* [lock] the one that goes on now */
static struct asi_counter hidden;         /* edges whose targets do not know of them; written under
                                             the lock */

/* --- the table -------------------------------------------------------------------------------- */

static struct asi_edge **bucket_of(const struct anysync_task *task)
{
    uintptr_t number = (uintptr_t)task / sizeof(struct anysync_task);

    return &buckets[(number ^ number >> 8) % BUCKETS];
}

struct asi_edge *asi_graph_find(const struct anysync_task *task)
{
    struct asi_edge *edge = *bucket_of(task);

    while (edge && edge->task != task)
        edge = edge->next;
    return edge;
}

/* [lock] */
static void publish(struct asi_edge *edge)
{
    struct asi_edge **bucket = bucket_of(edge->task);

    edge->serial = ++serials;
    edge->cuts = cuts;
    if (edge->aim.hidden)
        asi_counter_add(&hidden, 1);
    if (edge->loop) {
        edge->loop->blocked = edge;
        return;
    }
    edge->next = *bucket;
    *bucket = edge;
}

/* [lock] */
static void withdraw(struct asi_edge *edge)
{
    if (edge->aim.hidden)
        asi_counter_add(&hidden, (uint64_t)-1);
    if (edge->loop) {
        edge->loop->blocked = NULL;
        return;
    }
    struct asi_edge **at = bucket_of(edge->task);
    while (*at && *at != edge)
        at = &(*at)->next;
    if (*at)
        *at = edge->next;
}

/* Give the lock back, and do what could not be done under it: a last reference may call users. */
static void give_lock(void)
{
    struct probe *rest = undelivered;

    undelivered = NULL;
    asi_lock_give(&lock);
    while (rest) {
        struct probe *next = rest->next;
        if (rest->node)
            anysync_future_unref(&rest->node->future);
        asi_free(rest);
        rest = next;
    }
}

/* --- looking around --------------------------------------------------------------------------- */

/* [lock] Ready for a walk on behalf of EDGE. */
static void prepare_walk(struct asi_edge *edge)
{
    walk.asker = edge->loop ? NULL : edge->task;
    walk.asker_loop = edge->loop;
    walk.blocker = edge->loop ? edge->task : NULL;
    walk.origin = edge;
    walk.alternative = 0;
    walk.hops = 0;
    walk.path.said = 0;
    walk.path.count = 0;
    asi_walk_begin(&walk);
}

/* [lock] The same, from its own place. */
static void start_walk(struct asi_edge *edge)
{
    prepare_walk(edge);
    asi_path_add(&walk.path, (struct asi_place){.task = edge->task,
                                     .loop = edge->loop ? edge->loop : edge->task->scheduler,
                                     .thread = edge->thread});
}

static bool is_one_of_several(const struct asi_edge *edge)
{
    return !edge->aim.all && !edge->aim.stops && edge->aim.count > 1;
}

/* [lock] Whether each alternative of EDGE is known to come back. */
static bool is_confirmed(const struct asi_edge *edge)
{
    if (edge->aim.open && *edge->aim.open)
        return false;
    for (size_t i = 0; i < edge->aim.count; i++) {
        struct anysync_future *future = edge->aim.futures[i];
        if (future && (!(edge->confirmed >> i & 1) || asi_cell_done(&future->cell)))
            return false;
    }
    return true;
}

/* [lock] Look from EDGE as far as can be seen here, and send probes for the rest.  Returns whether
 * it is stuck. */
static bool look_around(struct asi_edge *edge)
{
    walk.open_count = 0; /* also without a walk: what an earlier one met may be gone */
    if (asi_walk_is_over(edge))
        return false;
    if (edge->cuts != cuts) {
        edge->cuts = cuts;
        edge->confirmed = 0;
    }
    if (!is_one_of_several(edge)) {
        start_walk(edge);
        return asi_walk_edge_is_stuck(&walk, edge);
    }
    if (edge->aim.count > MOST_ALTERNATIVES || (edge->aim.open && *edge->aim.open))
        return false;
    for (size_t i = 0; i < edge->aim.count; i++) {
        struct anysync_future *future = edge->aim.futures[i];
        if (!future)
            continue;
        start_walk(edge);
        walk.alternative = (unsigned)i;
        if (asi_walk_is_stuck(&walk, asi_task_of(future)))
            edge->confirmed |= (uint64_t)1 << i;
    }
    return is_confirmed(edge);
}

/* [lock] EDGE ends with -EDEADLK, or those that lead back to it if it blocks a thread, or is
 * patient: the walk has come back.  Returns whether it is EDGE; the others are told. */
static bool doom(struct asi_edge *edge)
{
    for (;;) {
        bool gives_way = edge->loop || edge->aim.patient || edge->firm;
        bool other = gives_way && walk.last && walk.last != edge;
        struct asi_edge *victim = other ? walk.last : edge;

        if (victim->firm) /* there is nobody who could be told */
            return false;
        victim->doomed = true;
        victim->error = asi_path_error(&walk.path, other ? walk.last_at : 0);
        cuts++;
        if (other)
            asi_waiter_deliver(victim->waiter);
        if (!other || !look_around(edge))
            return !other;
    }
}

/* [lock] Tell EDGE, whose owner waits and which is found to be stuck. */
static void tell(struct asi_edge *edge)
{
    if (doom(edge))
        asi_waiter_deliver(edge->waiter);
}

/* [lock] Whether anybody might wait for TASK; LOCAL: it is of this loop.  Of a task with hooks, a
 * generator's say, that cannot be told from its record. */
static bool is_awaited(struct anysync_task *task, bool local)
{
    return (local && (task->waits || task->hooked)) || asi_cell_awaited(&task->future.cell) ||
           asi_counter_get(&hidden) > 0;
}

/* [lock] Of the waits for one of several that the walk met some could not be decided from outside,
 * because they lead to other loops: look around from them.  (Not from what these look-arounds meet:
 * they would send each other probes for ever.) */
static void look_further(void)
{
    struct asi_edge *open[ASI_WALK_OPEN];
    unsigned count = walk.open_count;

    memcpy(open, walk.open, sizeof(open));
    for (unsigned i = 0; i < count; i++) {
        if (!open[i]->doomed && !open[i]->cut && look_around(open[i]))
            tell(open[i]);
    }
}

/* --- probes ----------------------------------------------------------------------------------- */

/* [lock] The edge for which PROBE goes, if it is there still. */
static struct asi_edge *initiator(const struct probe *probe)
{
    struct asi_edge *edge = probe->loop ? probe->loop->blocked : asi_graph_find(probe->task);

    if (!edge || edge->serial != probe->serial || edge->doomed || edge->cut)
        return NULL;
    return edge;
}

/* [lock] PROBE found its way back to EDGE. */
static void come_back(struct asi_edge *edge, const struct probe *probe)
{
    if (probe->cuts != edge->cuts)
        return; /* of an earlier round */
    if (edge->cuts != cuts) {
        if (look_around(edge))
            tell(edge);
        return;
    }
    edge->confirmed |= (uint64_t)1 << probe->alternative;
    if (!is_one_of_several(edge) || is_confirmed(edge))
        tell(edge);
}

static void deliver_probe(struct asi_letter *letter, void *receiver)
{
    struct probe *probe = asi_container_of(letter, struct probe, letter);
    struct asi_scheduler *here = receiver;

    asi_lock_take(&lock);
    struct asi_edge *edge = initiator(probe);
    if (edge) {
        prepare_walk(edge);
        walk.alternative = probe->alternative;
        walk.hops = probe->hops;
        walk.path.said = probe->said;
        memcpy(walk.path.steps, probe->steps,
                (probe->said < ASI_PATH_MOST ? probe->said : ASI_PATH_MOST) *
                        sizeof(struct asi_step));
        bool stuck = probe->node ? asi_walk_goes_on(&walk, probe->node)
                                 : asi_walk_loop_is_stuck(&walk, here);
        if (stuck)
            come_back(edge, probe);
        else if (!is_one_of_several(edge))
            look_further();
    }
    give_lock();
    if (probe->node)
        anysync_future_unref(&probe->node->future);
    asi_free(probe);
}

void asi_graph_probe(struct asi_walk *from, struct asi_scheduler *loop, struct anysync_task *node)
{
    struct asi_edge *edge = from->origin;

    if (!edge || from->ways_out > 0 || from->hops >= ASI_WALK_MOST_HOPS)
        return;
    struct asi_path path = from->path;
    asi_path_say(&path);
    unsigned said = path.said < ASI_PATH_MOST ? path.said : ASI_PATH_MOST;
    struct probe *probe = asi_allocate(sizeof(*probe) + said * sizeof(struct asi_step));
    if (!probe)
        return;
    *probe = (struct probe){.letter = {.deliver = deliver_probe},
            .node = node,
            .task = edge->task,
            .loop = edge->loop,
            .serial = edge->serial,
            .cuts = edge->cuts,
            .alternative = from->alternative,
            .hops = from->hops + 1,
            .said = path.said};
    memcpy(probe->steps, path.steps, said * sizeof(struct asi_step));
    if (node)
        anysync_future_ref(&node->future);
    if (asi_scheduler_post(loop, &probe->letter))
        return;
    probe->next = undelivered; /* the loop has ended, and so has the task */
    undelivered = probe;
}

/* --- who waits -------------------------------------------------------------------------------- */

static bool only_tasks(const struct asi_aim *aim)
{
    /* (What may change is not looked at here: loose waits are for tasks only.) */
    for (size_t i = 0; i < aim->count && !aim->stops && !aim->loose; i++) {
        if (aim->futures[i] && !aim->futures[i]->is_task)
            return false;
    }
    return true;
}

bool asi_graph_counts(const struct asi_aim *aim, unsigned how, anysync_time deadline)
{
    const struct asi_scheduler *here = asi_scheduler_here();

    if (deadline != ANYSYNC_FOREVER || (!here && !asi_local.job))
        return false;
    if (here && here->generation != asi_fork_generation)
        return false;
    return ((how & ASI_WAIT_BLOCKS) || here) && only_tasks(aim) &&
           ((how & ASI_WAIT_FIRM) || asi_scope_limit(ANYSYNC_FOREVER) == ANYSYNC_FOREVER);
}

bool asi_graph_enter(struct asi_edge *edge, const struct asi_aim *aim, unsigned how,
        struct asi_waiter *waiter, uint32_t seen)
{
    struct asi_scheduler *here = asi_scheduler_here();
    bool blocks = how & ASI_WAIT_BLOCKS, firm = how & ASI_WAIT_FIRM;

    *edge = (struct asi_edge){.aim = *aim,
            .task = here ? here->current : asi_local.job,
            .loop = blocks ? here : NULL,
            .waiter = waiter,
            .seen = seen,
            .firm = firm,
            .thread = asi_local_serial()};
    if (here && !blocks)
        edge->task->local_wait = ASI_PUBLISHED;
    asi_lock_take(&lock);
    publish(edge);
    if (here && !blocks) {
        edge->deaf = firm || asi_scope_is_deaf();
        edge->cut = !edge->deaf && !edge->task->asked && /* a letter that asks it is on its way */
                    (asi_flag_get(&edge->task->cancel_asked) || asi_flag_get(&here->cancel_comes));
    }
    bool stuck = false;
    walk.closer = here && !blocks ? edge->task : NULL;
    walk.closer_target = NULL;
    if (!edge->cut && (edge->loop || is_awaited(edge->task, here))) {
        stuck = look_around(edge);
        if (stuck)
            stuck = doom(edge);
        else if (!is_one_of_several(edge))
            look_further();
    }
    walk.closer = NULL;
    if (stuck)
        withdraw(edge);
    give_lock();
    if (!stuck)
        return true;
    if (here && !blocks)
        edge->task->local_wait = NULL;
    asi_slot_put(asi_slot(), -EDEADLK, edge->error);
    return false;
}

bool asi_graph_leave(struct asi_edge *edge, struct asi_error **ret_error)
{
    asi_lock_take(&lock);
    withdraw(edge);
    if (edge->aim.loose)
        cuts++;
    asi_lock_give(&lock);
    if (edge->task && !edge->loop && asi_scheduler_here())
        edge->task->local_wait = NULL;
    *ret_error = edge->error;
    return edge->doomed;
}

/* Where the local edges from TARGET lead, for SELF that is about to make one more.  Ways that were
 * gone for others are not gone again as long as no wait has ended: so it costs little to make a
 * long chain.  (As none has ended, all on such a way wait still, and hold what they wait for.) */
static struct anysync_task *end_of(
        struct asi_scheduler *here, struct anysync_task *self, struct anysync_task *target)
{
    struct asi_chains *chains = &here->chains;
    unsigned count = sizeof(chains->ways) / sizeof(chains->ways[0]);
    uintptr_t from = (uintptr_t)target / ASI_RECYCLE_RECORD_SIZE % count;
    uintptr_t at = (uintptr_t)self / ASI_RECYCLE_RECORD_SIZE % count;
    struct anysync_task *task = target;

    if (chains->age != here->waits_ended)
        memset(chains, 0, sizeof(*chains));
    chains->age = here->waits_ended;
    if (chains->ways[from].start == target)
        task = chains->ways[from].end;
    while (task != self && task->state == ASI_TASK_SUSPENDED && task->local_wait &&
            task->local_wait != ASI_PUBLISHED && task->local_wait->target)
        task = task->local_wait->target;
    chains->ways[at].start = self;
    chains->ways[at].end = task;
    return task;
}

/* [lock] SELF is about to wait for TARGET, from where local edges lead to END, which is SELF or has
 * a published edge.  Returns whether it must not; RET_ERROR: why. */
static bool closes(struct anysync_task *self, struct anysync_task *target, struct anysync_task *end,
        struct asi_error **ret_error)
{
    struct asi_edge self_edge = {.task = self, .thread = asi_local_serial()};

    walk.closer = self;
    walk.closer_target = target;
    start_walk(&self_edge);
    walk.origin = NULL;
    bool stuck = end == self || asi_walk_is_stuck(&walk, end);
    if (stuck) { /* once more, for the sentence */
        start_walk(&self_edge);
        walk.origin = NULL;
        stuck = asi_walk_is_stuck(&walk, target);
    }
    if (stuck) {
        *ret_error = asi_path_error(&walk.path, 0);
    } else {
        look_further();
        struct asi_edge *edge = asi_graph_find(end);
        if (edge && !edge->doomed && !edge->cut && look_around(edge))
            tell(edge);
    }
    walk.closer = NULL;
    return stuck;
}

bool asi_graph_closes(struct anysync_task *target)
{
    struct asi_scheduler *here = asi_scheduler_here();
    struct anysync_task *self = here->current;
    struct anysync_task *end = end_of(here, self, target);
    struct asi_error *error = NULL;

    if (end != self && (end->state != ASI_TASK_SUSPENDED || !end->local_wait))
        return false;
    asi_lock_take(&lock);
    bool stuck = is_awaited(self, true) && closes(self, target, end, &error);
    give_lock();
    if (stuck) {
        here->waits_ended++; /* it does not take the way that was noted for it */
        asi_slot_put(asi_slot(), -EDEADLK, error);
    }
    return stuck;
}

void asi_graph_cut(struct anysync_task *task)
{
    asi_lock_take(&lock);
    cuts++;
    struct asi_edge *edge = task->local_wait == ASI_PUBLISHED ? asi_graph_find(task) : NULL;
    if (edge)
        edge->cut = true;
    asi_lock_give(&lock);
}

void asi_graph_delivered(void)
{
    asi_lock_take(&lock);
    cuts++;
    asi_lock_give(&lock);
}

void asi_graph_cancel_comes(const struct anysync_task *task)
{
    asi_lock_take(&lock);
    struct asi_edge *edge = asi_graph_find(task);
    cuts++;
    if (edge && !edge->deaf)
        edge->cut = true;
    asi_lock_give(&lock);
}

void asi_graph_loop_cancel_comes(const struct asi_scheduler *loop)
{
    asi_lock_take(&lock);
    cuts++;
    for (unsigned i = 0; i < BUCKETS; i++) {
        for (struct asi_edge *edge = buckets[i]; edge; edge = edge->next)
            edge->cut = edge->cut || (edge->task->scheduler == loop && !edge->deaf);
    }
    asi_lock_give(&lock);
}

void asi_graph_begin_change(void)
{
    asi_lock_take(&lock);
    cuts++;
}

void asi_graph_end_change(void)
{
    asi_lock_give(&lock);
}

bool asi_graph_is_blocked(const struct asi_scheduler *loop)
{
    asi_lock_take(&lock);
    bool blocked = loop->blocked;
    asi_lock_give(&lock);
    return blocked;
}

/* --- fork ------------------------------------------------------------------------------------- */

void asi_graph_before_fork(void)
{
    asi_lock_take(&lock);
}

void asi_graph_after_fork(void)
{
    asi_lock_give(&lock);
}

/* Those who wait do not exist here. */
void asi_graph_in_child(void)
{
    memset(buckets, 0, sizeof(buckets));
    asi_counter_add(&hidden, -asi_counter_get(&hidden));
}
