/* SPDX-License-Identifier: MIT */
/*
 * Recycler (lib/thread/recycle.h).
 *
 * The tests take and give through asi_recycle_take_kept() and _give_kept(), so that the shelves
 * work in sanitizer builds too.  What the recycler asks of the system is counted by the fault hook.
 *
 * Promised                                  Tested by
 *   an object given back is taken again       what_was_given_is_taken_again,
 *                                             taking_and_giving_asks_the_system_once
 *   objects in use are distinct, large        objects_in_use_do_not_overlap
 *   enough, and the two sizes kept apart      the_sizes_are_kept_apart
 *   no memory: NULL                           no_memory_is_told
 *   full batches go round by the depot        what_one_thread_gave_another_takes
 *   the end of a thread flushes its shelves   the_shelves_of_a_thread_outlive_it,
 *                                             (leak check under the address sanitizer)
 *   what is not used goes back                what_is_too_much_is_lent_to_the_system
 *   given back by other threads, with what    stress_objects_go_round_between_threads
 *   they did with it visible (TSan)
 *   many short-lived threads                  stress_short_threads_lose_nothing
 *   across fork()                             a_child_uses_what_its_parent_kept
 */
#include "harness.h"

#include "fault.h"
#include "thread/cell.h"
#include "thread/fork.h"
#include "thread/local.h"
#include "thread/recycle.h"

#include <stdatomic.h>

enum { MANY = 1000 };

static const size_t sizes[ASI_RECYCLE_CLASSES] = {
        [ASI_RECYCLE_LINK] = sizeof(struct asi_link),
        [ASI_RECYCLE_RECORD] = ASI_RECYCLE_RECORD_SIZE,
        [ASI_RECYCLE_TIMED] = ASI_RECYCLE_TIMED_SIZE,
};

static void *take(enum asi_recycle_class kind)
{
    void *object = asi_recycle_take_kept(&asi_local.shelves[kind], kind);

    CHECK(object != NULL);
    return object;
}

static void give(enum asi_recycle_class kind, void *object)
{
    asi_recycle_give_kept(&asi_local.shelves[kind], kind, object);
}

static void take_many(void **objects, int count)
{
    for (int i = 0; i < count; i++)
        objects[i] = take(ASI_RECYCLE_RECORD);
}

static void give_many(void **objects, int count)
{
    for (int i = 0; i < count; i++)
        give(ASI_RECYCLE_RECORD, objects[i]);
}

TEST(what_was_given_is_taken_again)
{
    for (int kind = 0; kind < ASI_RECYCLE_CLASSES; kind++) {
        void *first = take((enum asi_recycle_class)kind);
        give((enum asi_recycle_class)kind, first);
        void *again = take((enum asi_recycle_class)kind);
        CHECK(again == first);
        give((enum asi_recycle_class)kind, again);
    }
}

TEST(taking_and_giving_asks_the_system_once)
{
    static void *objects[MANY];

    take_many(objects, MANY);
    give_many(objects, MANY);
    int before = fault_count("malloc");
    for (int round = 0; round < 10; round++) {
        take_many(objects, MANY);
        give_many(objects, MANY);
    }
    CHECK_EQ(fault_count("malloc"), before);
}

TEST(objects_in_use_do_not_overlap)
{
    static unsigned char *objects[MANY];

    for (int i = 0; i < MANY; i++) {
        enum asi_recycle_class kind = i % 2 ? ASI_RECYCLE_LINK : ASI_RECYCLE_RECORD;
        objects[i] = take(kind);
        memset(objects[i], i % 251, sizes[kind]);
    }
    for (int i = 0; i < MANY; i++) {
        enum asi_recycle_class kind = i % 2 ? ASI_RECYCLE_LINK : ASI_RECYCLE_RECORD;
        for (size_t at = 0; at < sizes[kind]; at++)
            CHECK_EQ(objects[i][at], i % 251);
        give(kind, objects[i]);
    }
}

TEST(the_sizes_are_kept_apart)
{
    void *record = take(ASI_RECYCLE_RECORD);

    give(ASI_RECYCLE_RECORD, record);
    void *link = take(ASI_RECYCLE_LINK);
    CHECK(link != record);
    give(ASI_RECYCLE_LINK, link);
}

TEST(no_memory_is_told)
{
    for (int kind = 0; kind < ASI_RECYCLE_CLASSES; kind++) {
        fault_fail("malloc", 1, true);
        CHECK(asi_recycle_take((enum asi_recycle_class)kind) == NULL);
        CHECK(asi_recycle_take_kept(&asi_local.shelves[kind], (enum asi_recycle_class)kind) ==
                NULL);
        fault_clear();
        void *object = take((enum asi_recycle_class)kind);
        give((enum asi_recycle_class)kind, object);
    }
}

/* --- other threads ---------------------------------------------------------------------------- */

static void give_all(void *argument, int index)
{
    (void)index;
    give_many(argument, MANY);
}

static void take_and_give(void *argument, int index)
{
    void **objects = argument;

    (void)index;
    take_many(objects, MANY);
    give_many(objects, MANY);
}

/* Less than a batch may stay behind on a thread; the rest has to come back. */
TEST(what_one_thread_gave_another_takes)
{
    static void *objects[MANY];

    take_many(objects, MANY);
    test_together(1, give_all, objects);
    int before = fault_count("malloc");
    take_many(objects, MANY);
    CHECK_GE(before + 100, fault_count("malloc")); /* at most three batches anew */
    give_many(objects, MANY);
}

TEST(the_shelves_of_a_thread_outlive_it)
{
    static void *objects[MANY];

    test_together(1, take_and_give, objects);
    int before = fault_count("malloc");
    for (int i = 0; i < 20; i++)
        test_together(1, take_and_give, objects);
    CHECK_GE(before + 20 * 100, fault_count("malloc"));
}

/* Kilobytes that the system may take back from this process; -1: it does not say. */
static long lent_kb(void)
{
    char line[256];
    long kb = -1;
    FILE *file = fopen("/proc/self/smaps_rollup", "r");

    while (file && kb < 0 && fgets(line, sizeof(line), file)) {
        if (sscanf(line, "LazyFree: %ld", &kb) != 1)
            kb = -1;
    }
    if (file)
        fclose(file);
    return kb;
}

TEST(what_is_too_much_is_lent_to_the_system)
{
    enum { FLOOD = 150000, BLOCK = 8191 /* records */, KEPT = 65536 /* records, at most */ };
    void **objects = calloc(FLOOD, sizeof(*objects));

    CHECK(objects != NULL);
    for (int round = 0; round < 3; round++) {
        take_many(objects, FLOOD);
        CHECK_GE(FLOOD / BLOCK + 2, fault_count("malloc")); /* none beyond those of round 0 */
        for (int i = 0; i < FLOOD; i++)
            memset(objects[i], i % 251, ASI_RECYCLE_RECORD_SIZE);
        for (int i = 0; i < FLOOD; i++)
            CHECK_EQ(((unsigned char *)objects[i])[ASI_RECYCLE_RECORD_SIZE - 1], i % 251);
        give_many(objects, FLOOD);
        long kb = lent_kb();
        CHECK(kb < 0 || kb >= (FLOOD - KEPT) / BLOCK * 2048);
    }
    free(objects);
}

/* --- fork() ----------------------------------------------------------------------------------- */

static void nothing(void)
{
}

static int use_in_child(void *argument)
{
    void **objects = argument;

    give_many(objects, MANY);
    take_many(objects, MANY);
    test_together(1, take_and_give, objects + MANY);
    give_many(objects, MANY);
    return 0;
}

TEST(a_child_uses_what_its_parent_kept)
{
    static const struct asi_fork_part part = {nothing, nothing, nothing};
    static void *objects[2 * MANY];

    asi_fork_add(&part); /* the recycler's own part comes with the first */
    take_many(objects, MANY);
    struct test_child child = test_child(use_in_child, objects);
    CHECK_STR(child.errors, "");
    CHECK_EQ(child.status, 0);
    CHECK(child.exited);
    free(child.errors);
    give_many(objects, MANY);
}

/* --- stress ----------------------------------------------------------------------------------- */

enum { PLACES = 256, THREADS = 4 };

struct item {
    void *reserved[4]; /* the recycler's own, while the object waits */
    long stamp;        /* plain: who exchanges the item sees what its former owner wrote */
    long copy;
};

struct market {
    _Atomic(struct item *) places[PLACES];
    long count;
};

/* Put a new object into a random place; check and give back what lay there, which others took. */
static void trade(void *argument, int index)
{
    struct market *market = argument;
    unsigned random = 2463534242u + (unsigned)index;

    for (long i = 0; i < market->count; i++) {
        struct item *item = take(ASI_RECYCLE_RECORD);
        item->stamp = i * THREADS + index;
        item->copy = item->stamp;
        random = random * 1664525u + 1013904223u;
        item = atomic_exchange_explicit(&market->places[random >> 24], item, memory_order_acq_rel);
        if (item) {
            CHECK_EQ(item->stamp, item->copy);
            item->copy = -1;
            give(ASI_RECYCLE_RECORD, item);
        }
    }
}

TEST(stress_objects_go_round_between_threads)
{
    static struct market market;

    market.count = test_scaled(500000);
    test_together(THREADS, trade, &market);
    for (int i = 0; i < PLACES; i++) {
        struct item *item = atomic_load(&market.places[i]);
        if (item)
            give(ASI_RECYCLE_RECORD, item);
    }
}

TEST(stress_short_threads_lose_nothing)
{
    static struct market market;
    int before = fault_count("malloc");

    market.count = 500;
    for (long round = 0; round < test_scaled(500); round++)
        test_together(THREADS, trade, &market);
    /* What is left of a batch is freed at the end of a thread: far less than was traded. */
    CHECK_GE(before + PLACES + test_scaled(500) * THREADS * 100, fault_count("malloc"));
    for (int i = 0; i < PLACES; i++) {
        struct item *item = atomic_load(&market.places[i]);
        if (item)
            give(ASI_RECYCLE_RECORD, item);
    }
}
