/* SPDX-License-Identifier: MIT */
/*
 * Walking the wait-for graph.  (Why it is right to trust it: graph.c.)
 *
 * A walk starts at what the asker waits for and follows what each one met waits for.  It says
 * "stuck" when all that could let the first one go on leads back to the asker, and "free" in all
 * other cases, also when it cannot see or has gone far enough.
 *
 *   task that runs, is ready or done       free
 *   task that waits for one thing          as that thing
 *   task of a loop whose thread is         as what that thread waits for; for its own wait a probe
 *   blocked                                lies in the loop's mailbox until the thread goes on
 *   wait for one of several                stuck if all of them are
 *   wait for all of several                stuck if one of them is
 *   task of another loop that runs         its published wait; without one: free as far as this
 *                                          thread can see, and a probe goes on there
 *
 * No recursion: waits for one thing are followed in a loop, those for several are on a small stack.
 * A branch that is met again below itself counts as stuck (it will not be let go by itself); what
 * was found with the help of that is forgotten if the branch turns out to be free.
 */
#include "sched/graph_walk.h"

#include "thread/fork.h"
#include "thread/local.h"

#include <errno.h>
#include <stdio.h>

enum look { FREE, STUCK, BRANCH };

void asi_walk_begin(struct asi_walk *walk)
{
    walk->last = NULL;
    walk->last_at = 0;
    walk->steps_left = ASI_WALK_STEPS;
    walk->ways_out = 0;
    walk->arrived = false;
    walk->open_count = 0;
    walk->depth = 0;
    walk->decided = 0;
}

/* --- the path --------------------------------------------------------------------------------- */

void asi_path_add(struct asi_path *path, struct asi_place place)
{
    if (path->said + path->count < ASI_PATH_MOST)
        path->places[path->count] = place;
    path->count++;
}

static unsigned path_length(const struct asi_path *path)
{
    return path->said + path->count;
}

static void add_task(struct asi_walk *walk, const struct anysync_task *task)
{
    bool own = task->scheduler && task->scheduler == asi_scheduler_here();

    asi_path_add(&walk->path,
            (struct asi_place){
                    .task = task, .loop = task->scheduler, .thread = own ? asi_local_serial() : 0});
}

static void add_blocker(struct asi_walk *walk, const struct anysync_task *task,
        const struct asi_scheduler *loop, unsigned thread)
{
    asi_path_add(&walk->path,
            (struct asi_place){.task = task, .loop = loop, .thread = thread, .blocks = true});
}

/* Of the last place it is known by now on which thread it is. */
static void note_thread(struct asi_path *path, unsigned thread)
{
    if (path->count > 0 && path_length(path) <= ASI_PATH_MOST)
        path->places[path->count - 1].thread = thread;
}

static void say_where(struct asi_step *step, const struct asi_place *place)
{
    const struct asi_scheduler *loop = place->loop;

    step->where[0] = 0;
    if (!loop || place->end)
        return;
    if (loop->kind == ASI_LOOP_WORKER)
        (void)snprintf(
                step->where, sizeof(step->where), " of worker \"%.24s\"", loop->options.name);
    else if (loop->kind == ASI_LOOP_HERE)
        (void)snprintf(step->where, sizeof(step->where), " on a here-loop");
    else if (place->thread == 0)
        (void)snprintf(step->where, sizeof(step->where), " on a nested thread");
    else
        (void)snprintf(step->where, sizeof(step->where), " on nested thread %u", place->thread);
}

void asi_path_say(struct asi_path *path)
{
    for (unsigned i = 0; i < path->count && path->said + i < ASI_PATH_MOST; i++) {
        const struct asi_place *place = &path->places[i];
        struct asi_step *step = &path->steps[path->said + i];

        step->loop = place->loop;
        step->blocks = place->blocks;
        say_where(step, place);
        if (place->task)
            (void)snprintf(
                    step->who, sizeof(step->who), "task \"%.60s\"", asi_task_name(place->task));
        else if (place->end)
            (void)snprintf(step->who, sizeof(step->who), "the end of worker \"%.40s\"",
                    place->loop->options.name);
        else
            (void)snprintf(step->who, sizeof(step->who), "a callback of its loop");
    }
    path->said += path->count;
    path->count = 0;
}

/* Whether all steps are on one loop, so that nothing need be said of loops. */
static bool is_on_one_loop(const struct asi_path *path, unsigned count)
{
    for (unsigned i = 1; i < count; i++) {
        if (path->steps[i].loop != path->steps[0].loop)
            return false;
    }
    return true;
}

struct asi_error *asi_path_error(struct asi_path *path, unsigned at)
{
    char text[ASI_MESSAGE_SIZE];
    size_t used = 0;
    asi_path_say(path);
    bool whole = path->said <= ASI_PATH_MOST;
    unsigned ring = whole ? path->said - 1 : ASI_PATH_MOST; /* the last is the first again */
    unsigned from = whole && at < ring ? at : 0;
    const void *loop = path->steps[from].loop;

    path->steps[0].blocks = whole && path->steps[ring].blocks;
    for (unsigned i = 0; i <= ring && used < sizeof(text); i++) {
        const struct asi_step *step = &path->steps[whole ? (from + i) % ring : i];
        const char *link = i == 0                ? ""
                           : !whole && i == ring ? ", and so on, back to "
                           : step->blocks        ? ", whose thread is blocked by "
                           : i == 1              ? " waits for "
                                                 : ", which waits for ";
        if (!whole && i == ring)
            step = &path->steps[0];
        bool tell = i == 0 ? !is_on_one_loop(path, ring) : step->loop != loop && i < ring;
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s%s", link, step->who,
                tell ? step->where : "");
        loop = step->loop;
    }
    return asi_error_new(-EDEADLK, ANYSYNC_ORIGIN_CALL, "waiting here could never end: %s", text);
}

/* --- one step --------------------------------------------------------------------------------- */

static bool is_pending(struct anysync_future *future)
{
    return !asi_cell_done(&future->cell) && future->generation == asi_fork_generation;
}

/* Whether the end of NODE is what the asker keeps from coming. */
static bool is_asker(const struct asi_walk *walk, const struct anysync_task *node)
{
    return node == walk->asker || (walk->asker_loop && node->scheduler == walk->asker_loop);
}

/* The walk has come back. */
static enum look close_path(struct asi_walk *walk, const struct anysync_task *node)
{
    if (node != walk->asker && node != walk->blocker)
        add_blocker(walk, walk->blocker, walk->asker_loop, 0);
    return STUCK;
}

/* How many of AIM are pending; RET_ONE: one of them, NULL if none is. */
static size_t count_pending(const struct asi_aim *aim, struct anysync_task **ret_one)
{
    size_t count = 0;

    *ret_one = NULL;
    if (aim->open && *aim->open)
        return 0;
    for (size_t i = 0; i < aim->count; i++) {
        struct anysync_future *future = aim->futures[i];
        if (!future)
            continue;
        if (!is_pending(future)) {
            if (aim->all)
                continue;
            *ret_one = NULL;
            return 0;
        }
        *ret_one = asi_task_of(future);
        count++;
    }
    return count;
}

/* EDGE waits for the end of a loop. */
static enum look look_at_end(
        struct asi_walk *walk, struct asi_edge *edge, struct asi_edge **ret_edge)
{
    struct asi_scheduler *loop = edge->aim.stops;

    if (!is_pending(edge->aim.futures[0]))
        return FREE;
    asi_path_add(&walk->path, (struct asi_place){.loop = loop, .end = true});
    if (loop == walk->asker_loop) {
        add_blocker(walk, walk->blocker, loop, 0);
        return STUCK;
    }
    if (walk->asker && walk->asker->scheduler == loop) {
        add_task(walk, walk->asker);
        return STUCK;
    }
    asi_graph_probe(walk, loop, NULL);
    *ret_edge = loop->blocked;
    if (!loop->blocked)
        return FREE;
    add_blocker(walk, loop->blocked->task, loop, loop->blocked->thread);
    return BRANCH;
}

bool asi_walk_is_over(const struct asi_edge *edge)
{
    return (edge->waiter && asi_waiter_count(edge->waiter) > edge->seen) ||
           (edge->aim.over && *edge->aim.over);
}

/* Follow EDGE.  BRANCH: on to *RET_NODE; or, if that is NULL, to another edge or the branches of
 * the same one, RET_EDGE. */
static enum look follow(struct asi_walk *walk, struct asi_edge *edge,
        struct anysync_task **ret_node, struct asi_edge **ret_edge)
{
    if (edge->doomed || edge->cut || asi_walk_is_over(edge))
        return FREE;
    if (!edge->loop && !edge->firm) {
        walk->last = edge;
        walk->last_at = path_length(&walk->path) - 1;
    }
    note_thread(&walk->path, edge->thread);
    *ret_node = NULL;
    if (edge->aim.stops)
        return look_at_end(walk, edge, ret_edge);
    size_t pending = count_pending(&edge->aim, ret_node);
    if (pending == 0)
        return FREE;
    if (pending > 1) {
        *ret_node = NULL;
        *ret_edge = edge;
    }
    return BRANCH;
}

/* Whether NODE, of this loop, waits in an edge, or is just about to. */
static bool is_suspended(const struct asi_walk *walk, const struct anysync_task *node)
{
    return node == walk->closer || (node->state == ASI_TASK_SUSPENDED && node->local_wait);
}

/* The task of this loop that NODE waits for, NULL if its wait is published. */
static struct anysync_task *local_target(
        const struct asi_walk *walk, const struct anysync_task *node)
{
    if (node == walk->closer)
        return walk->closer_target;
    return node->local_wait == ASI_PUBLISHED ? NULL : node->local_wait->target;
}

/* What NODE waits for.  BRANCH: RET_NODE, or RET_EDGE if that is NULL. */
static enum look look_at(struct asi_walk *walk, struct anysync_task *node,
        struct anysync_task **ret_node, struct asi_edge **ret_edge)
{
    struct asi_scheduler *loop = node->scheduler;

    *ret_node = NULL;
    if (node->function->kind == ANYSYNC_KIND_BLOCKING) {
        *ret_edge = asi_graph_find(node);
    } else if (loop->blocked) {
        asi_graph_probe(walk, loop, node);
        *ret_edge = loop->blocked;
        if (loop->blocked->task != node)
            add_blocker(walk, loop->blocked->task, loop, loop->blocked->thread);
    } else if (loop != asi_scheduler_here()) {
        *ret_edge = asi_graph_find(node);
        if (!*ret_edge)
            asi_graph_probe(walk, loop, node);
    } else if (is_suspended(walk, node)) {
        *ret_node = local_target(walk, node);
        *ret_edge = *ret_node ? NULL : asi_graph_find(node);
        return *ret_node || *ret_edge ? BRANCH : FREE;
    } else {
        return FREE;
    }
    return *ret_edge ? BRANCH : FREE;
}

/* --- branches --------------------------------------------------------------------------------- */

/* Go along from NODE, or from EDGE if that is NULL, as long as there is one way. */
static enum look go_along(struct asi_walk *walk, struct anysync_task *node, struct asi_edge *edge,
        struct asi_edge **ret_branch)
{
    while (walk->steps_left > 0) {
        enum look look = BRANCH;
        struct anysync_task *next = NULL;

        walk->steps_left--;
        if (node) {
            if (!walk->arrived)
                add_task(walk, node);
            walk->arrived = false;
            if (is_asker(walk, node))
                return close_path(walk, node);
            if (!is_pending(&node->future))
                return FREE;
            look = look_at(walk, node, &next, &edge);
        }
        if (look == BRANCH && !next) {
            struct asi_edge *met = edge;
            ASI_ASSERT(met, "a walk came to no task and to no wait");
            look = follow(walk, met, &next, &edge);
            if (look == BRANCH && !next && edge == met) {
                *ret_branch = edge;
                return BRANCH;
            }
        }
        if (look != BRANCH)
            return look;
        node = next;
    }
    return FREE;
}

/* What is known of EDGE; BRANCH: nothing yet. */
static enum look known(const struct asi_walk *walk, const struct asi_edge *edge)
{
    for (unsigned i = 0; i < walk->decided; i++) {
        if (walk->known[i].edge == edge)
            return walk->known[i].stuck ? STUCK : FREE;
    }
    return BRANCH;
}

/* EDGE waits for several.  BRANCH: it was put on the stack. */
static enum look push(struct asi_walk *walk, struct asi_edge *edge)
{
    enum look look = known(walk, edge);

    if (look != BRANCH)
        return look;
    if (walk->depth == ASI_WALK_BRANCHES || walk->decided == ASI_WALK_DECIDED)
        return FREE;
    walk->branches[walk->depth++] = (struct asi_branch){.edge = edge,
            .last = walk->last,
            .last_at = walk->last_at,
            .count = walk->path.count,
            .decided = walk->decided};
    walk->known[walk->decided].edge = edge;
    walk->known[walk->decided].stuck = true; /* below itself */
    walk->decided++;
    walk->ways_out += !edge->aim.all;
    return BRANCH;
}

/* The next alternative of the innermost branch.  NULL: there is none, and RET_LOOK is what that
 * means. */
static struct anysync_task *next_alternative(struct asi_walk *walk, enum look *ret_look)
{
    struct asi_branch *top = &walk->branches[walk->depth - 1];
    const struct asi_aim *aim = &top->edge->aim;

    walk->path.count = top->count;
    walk->last = top->last;
    walk->last_at = top->last_at;
    while (top->at < aim->count) {
        struct anysync_future *future = aim->futures[top->at++];
        if (future && is_pending(future))
            return asi_task_of(future);
        if (future && !aim->all) { /* it has come meanwhile */
            *ret_look = FREE;
            return NULL;
        }
    }
    *ret_look = aim->all ? FREE : STUCK;
    return NULL;
}

/* The innermost branch is decided. */
static void pop(struct asi_walk *walk, enum look look)
{
    struct asi_branch *top = &walk->branches[--walk->depth];

    walk->ways_out -= !top->edge->aim.all;
    if (look == FREE) { /* what was found by the help of its being stuck is not known */
        walk->decided = top->decided + 1;
        walk->known[top->decided].stuck = false;
        if (!top->edge->aim.all && walk->open_count < ASI_WALK_OPEN)
            walk->open[walk->open_count++] = top->edge;
    }
}

static bool decide(struct asi_walk *walk, struct anysync_task *node, struct asi_edge *edge)
{
    for (;;) {
        struct asi_edge *branch = NULL;
        enum look look = go_along(walk, node, edge, &branch);

        if (look == BRANCH)
            look = push(walk, branch);
        node = NULL;
        while (!node) {
            if (look != BRANCH && walk->depth == 0)
                return look == STUCK;
            bool all = walk->branches[walk->depth - 1].edge->aim.all;
            if (look != (all ? STUCK : FREE)) /* that one did not decide it */
                node = next_alternative(walk, &look);
            if (!node)
                pop(walk, look);
        }
        edge = NULL;
    }
}

bool asi_walk_is_stuck(struct asi_walk *walk, struct anysync_task *node)
{
    return decide(walk, node, NULL);
}

bool asi_walk_goes_on(struct asi_walk *walk, struct anysync_task *node)
{
    struct asi_place place = {.loop = node->scheduler, .thread = asi_local_serial()};

    if (walk->path.said <= ASI_PATH_MOST) /* it is known now where that is */
        say_where(&walk->path.steps[walk->path.said - 1], &place);
    walk->arrived = true;
    return decide(walk, node, NULL);
}

bool asi_walk_edge_is_stuck(struct asi_walk *walk, struct asi_edge *edge)
{
    return decide(walk, NULL, edge);
}

bool asi_walk_loop_is_stuck(struct asi_walk *walk, struct asi_scheduler *loop)
{
    unsigned count = walk->path.count;
    struct asi_edge *last = walk->last;

    for (struct asi_list *at = loop->begun.next; at != &loop->begun; at = at->next) {
        struct anysync_task *task = asi_container_of(at, struct anysync_task, list);
        if (task->state != ASI_TASK_SUSPENDED || !task->local_wait)
            continue;
        if (asi_walk_is_stuck(walk, task))
            return true;
        walk->path.count = count;
        walk->last = last;
    }
    return false;
}
