/* SPDX-License-Identifier: MIT */
/* A walk through the wait-for graph, as far as this thread can see.  [graph lock] */
#ifndef ASI_SCHED_GRAPH_WALK_H
#define ASI_SCHED_GRAPH_WALK_H

#include "sched/graph.h"
#include "sched/scheduler.h"

enum {
    ASI_PATH_MOST = 8,        /* steps that a sentence shows */
    ASI_WALK_BRANCHES = 16,   /* waits for several within one another */
    ASI_WALK_DECIDED = 32,    /* waits for several that are remembered */
    ASI_WALK_OPEN = 4,        /* those that are looked at on their own */
    ASI_WALK_STEPS = 1 << 20, /* then it is taken to be no deadlock */
    ASI_WALK_MOST_HOPS = 1000 /* loops a probe visits before it gives up */
};

/* One on the way, in words. */
struct asi_step {
    const void *loop; /* compared only */
    bool blocks;      /* it blocks the thread of the one before; otherwise that waits for it */
    char who[72];
    char where[48];
};

/* The same, not yet in words: alive as long as the walk. */
struct asi_place {
    const struct anysync_task *task; /* NULL: a callback, or the end of the loop */
    const struct asi_scheduler *loop;
    unsigned thread; /* 0: not known */
    bool blocks;
    bool end;
};

struct asi_path {
    unsigned said;  /* steps in words, from earlier loops; counts those beyond the most, too */
    unsigned count; /* places after them */
    struct asi_step steps[ASI_PATH_MOST];
    struct asi_place places[ASI_PATH_MOST];
};

struct asi_branch {
    struct asi_edge *edge;
    struct asi_edge *last; /* the walk's, when it was met */
    unsigned last_at;
    size_t at;        /* the next alternative */
    unsigned count;   /* the path's, when it was met */
    unsigned decided; /* what was known by then */
};

struct asi_walk {
    struct anysync_task *asker;           /* to come to it is the answer; NULL: to any task of */
    struct asi_scheduler *asker_loop;     /* this loop */
    const struct anysync_task *blocker;   /* who blocks that */
    struct asi_edge *origin;              /* of the asker; NULL: no probes for this one */
    struct asi_edge *last;                /* of a task, not firm, followed last; NULL: none */
    unsigned last_at;                     /* the step of who waits in it */
    struct asi_edge *open[ASI_WALK_OPEN]; /* waits for one of several that were not decided */
    unsigned open_count;
    const struct anysync_task *closer;  /* runs, and is about to wait: as if it did */
    struct anysync_task *closer_target; /* for this; NULL: it is published */
    unsigned alternative;               /* of ORIGIN */
    unsigned hops;
    unsigned steps_left;
    unsigned ways_out; /* branches around, of which one way out is enough */
    bool arrived;      /* the node to look at is on the path already */
    unsigned depth, decided;
    struct asi_branch branches[ASI_WALK_BRANCHES];
    struct {
        struct asi_edge *edge;
        bool stuck;
    } known[ASI_WALK_DECIDED];
    struct asi_path path;
};

/* The edge of a task, NULL when it has none that is published. */
struct asi_edge *asi_graph_find(const struct anysync_task *task);

/* Have LOOP go on from NODE (NULL: from all its tasks) for WALK's origin, when it comes to it. */
void asi_graph_probe(struct asi_walk *walk, struct asi_scheduler *loop, struct anysync_task *node);

/* WALK: all zero but for asker, asker_loop, blocker, origin, alternative, hops and what is said. */
void asi_walk_begin(struct asi_walk *walk);

/* Whether NODE, and so who waits for it, is known to go on only after the asker. */
bool asi_walk_is_stuck(struct asi_walk *walk, struct anysync_task *node);

/* The same for NODE that is the last step of the path already. */
bool asi_walk_goes_on(struct asi_walk *walk, struct anysync_task *node);

/* The same for the wait EDGE. */
bool asi_walk_edge_is_stuck(struct asi_walk *walk, struct asi_edge *edge);

/* The same for the end of LOOP, on its thread: for its tasks that wait. */
bool asi_walk_loop_is_stuck(struct asi_walk *walk, struct asi_scheduler *loop);

/* Put the places of PATH into words. */
void asi_path_say(struct asi_path *path);

/* One more place on the way. */
void asi_path_add(struct asi_path *path, struct asi_place place);

/* The sentence for the cycle, beginning with step AT. */
struct asi_error *asi_path_error(struct asi_path *path, unsigned at);

/* Whether who waits in EDGE has what it waits for, and only has to notice. */
bool asi_walk_is_over(const struct asi_edge *edge);

#endif
