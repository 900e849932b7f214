/* SPDX-License-Identifier: MIT */
/*
 * The macros of lib/thread/atomic.h for the model checker Relacy, and the program around a model.
 *
 *      MODEL random RUNS            so many interleavings, by chance
 *      MODEL bound SWITCHES         all interleavings with at most so many preemptions
 *      MODEL weaker LINE ORDER N    the access in this line with a weaker order (failure: relaxed
 *                                   if it fails): found in N runs?
 *      MODEL bug NUMBER N           with a planted bug: likewise
 *
 * Exits with 0 if nothing was found, with 1 if something was; the last line tells the runs.
 */
#ifndef TEST_MODELS_STEPS_HPP
#define TEST_MODELS_STEPS_HPP

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>

#include <relacy/relacy.hpp>

static int weaker_line, weaker_line_on_failure, bug;
static rl::memory_order weaker_order;

static inline rl::memory_order order_at(int line, rl::memory_order order)
{
    return line == weaker_line ? weaker_order : order;
}

#define ORDER(order) order_at(__LINE__, rl::mo_##order)
#define asi_load(object, order) (object)->load(ORDER(order), $)
#define asi_store(object, value, order) (object)->store(value, ORDER(order), $)
#define asi_exchange(object, value, order) (object)->exchange(value, ORDER(order), $)
#define asi_add(object, value, order) (object)->fetch_add(value, ORDER(order), $)
#define asi_sub(object, value, order) (object)->fetch_sub(value, ORDER(order), $)
#define asi_and(object, value, order) (object)->fetch_and(value, ORDER(order), $)
#define asi_cas_weak(object, expected, desired, success, failure)                                  \
    cas(true, object, expected, desired, ORDER(success), failure_at(__LINE__, rl::mo_##failure), $)
#define asi_cas_strong(object, expected, desired, success, failure)                                \
    cas(false, object, expected, desired, ORDER(success), failure_at(__LINE__, rl::mo_##failure), $)

static inline rl::memory_order failure_at(int line, rl::memory_order order)
{
    return line == weaker_line_on_failure ? rl::mo_relaxed : order;
}

/* Relacy knows no failure that is stronger than the success; a fence behind it is the same. */
template <typename type>
static bool cas(bool weak, rl::atomic<type> *object, type *expected, type desired,
        rl::memory_order success, rl::memory_order failure, rl::debug_info_param info)
{
    bool stronger = failure == rl::mo_acquire &&
                    (success == rl::mo_relaxed || success == rl::mo_release);
    rl::memory_order known = stronger ? rl::mo_relaxed : failure;
    bool ok = weak ? object->compare_exchange_weak(
                             *expected, desired, success, info, known, info)
                   : object->compare_exchange_strong(
                             *expected, desired, success, info, known, info);

    if (!ok && stronger)
        rl::atomic_thread_fence(rl::mo_acquire, info);
    return ok;
}

/* In a loop that waits for another thread. */
#define let_others_run() rl::yield(1, $)

static inline rl::memory_order order_of(const char *name)
{
    if (!strcmp(name, "relaxed"))
        return rl::mo_relaxed;
    if (!strcmp(name, "acquire"))
        return rl::mo_acquire;
    return rl::mo_release;
}

template <typename model> static int check_model(int count, char **words)
{
    rl::test_params params;

    params.progress_output_period = 1000000000;
    params.search_type = rl::random_scheduler_type;
    params.iteration_count = strtoull(words[count - 1], NULL, 10);
    if (!strcmp(words[1], "bound")) {
        params.search_type = rl::fair_context_bound_scheduler_type;
        params.context_bound = (unsigned)params.iteration_count;
    } else if (!strcmp(words[1], "weaker")) {
        *(strcmp(words[3], "failure") ? &weaker_line : &weaker_line_on_failure) = atoi(words[2]);
        weaker_order = order_of(words[3]);
    } else if (!strcmp(words[1], "bug")) {
        bug = atoi(words[2]);
    }
    bool fine = rl::simulate<model>(params);
    std::cout.flush();
    printf("%llu runs, %s\n", (unsigned long long)params.stop_iteration,
            fine ? "nothing found" : rl::test_result_str(params.test_result));
    return fine ? 0 : 1;
}

#endif
