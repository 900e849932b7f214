/* SPDX-License-Identifier: MIT */
/*
 * Wrong uses of typed functions, one for each value of CASE; CASE 0 has none and must compile.
 * Compiled, never linked, by test_typed_refusals.sh, which reads from each line that opens a case
 * what it is called and which word of the caller's code the message must contain.
 */
#include <anysync/blocking.h>
#include <anysync/generator_typed.h>
#include <anysync/manager.h>
#include <anysync/typed.h>

struct page {
    int number;
};

ANYSYNC_BLOCKING(int, compute, (int, a), (const char *, text))
{
    *result = a + *text;
    return 0;
}

ANYSYNC_COROUTINE(int, add_later, (int, a), (int, b))
{
    *result = a + b;
    return 0;
}

ANYSYNC_COROUTINE(struct page, fetch, (const char *, url))
{
    (void)url;
    return -1;
}

ANYSYNC_COROUTINE(void, tick, (struct page, which))
{
    return which.number;
}

ANYSYNC_COROUTINE(void, beat)
{
    return 0;
}

ANYSYNC_COROUTINE_DECLARE(int, shared, (int, a));

ANYSYNC_GENERATOR(int, count_to, (int, last))
{
    return count_to_yield(last);
}

ANYSYNC_GENERATOR_SENT(struct page, const char *, pages)
{
    const char *url = NULL;
    struct page page = {1};
    return pages_yield_receive(page, &url);
}

ANYSYNC_CONTEXT_MANAGER(struct page, opened, (const char *, url))
{
    struct page page = {url != NULL};
    return opened_yield(page);
}

int use_typed(void);
int use_typed(void)
{
    int sum = 0;
    long wide = 0;
    struct page page = {1};
    add_later_future soon = {NULL};
    fetch_future other = {NULL};
    const anysync_time deadline = ANYSYNC_FOREVER;
    int error = add_later_start(&soon, 1, 2) + fetch_start(&other, "a");
    (void)sum, (void)wide, (void)page, (void)deadline; // no case fails for want of a use

#if CASE == 0 // correct_use_compiles
    error += add_later(&sum, 1, 2) + add_later_wait(&soon, &sum, deadline);
    error += fetch(&page, "a") + fetch_wait(&other, &page, deadline) + tick(page) + beat();
#elif CASE == 1  // wrong_argument_type: add_later
    error += add_later(&sum, 1, page);
#elif CASE == 2  // wrong_argument_pointer: fetch
    error += fetch(&page, &sum);
#elif CASE == 3  // scalar_for_struct_argument: tick
    error += tick(3);
#elif CASE == 4  // missing_argument: add_later
    error += add_later(&sum, 1);
#elif CASE == 5  // extra_argument: add_later
    error += add_later(&sum, 1, 2, 3);
#elif CASE == 6  // wrong_result_type: add_later
    error += add_later(&wide, 1, 2);
#elif CASE == 7  // wrong_result_type_of_wait: add_later_wait
    error += add_later_wait(&soon, &wide, deadline);
#elif CASE == 8  // unknown_function: add_soon
    error += add_soon(&sum, 1, 2);
#elif CASE == 9  // futures_mixed_up: add_later_wait
    error += add_later_wait(&other, &sum, deadline);
#elif CASE == 10 // future_started_by_another: fetch_start
    error += fetch_start(&soon, "a");
#elif CASE == 11 // future_copied_to_another: fetch_future
    other = soon;
#elif CASE == 12 // result_given_to_void_function: beat
    error += beat(&sum);
#elif CASE == 13 // result_given_to_wait_of_void_function: beat_wait
    beat_future beaten = {NULL};
    error += beat_wait(&beaten, &sum, deadline);
#elif CASE == 14 // missing_deadline: add_later_run_until
    error += add_later_run_until(&sum, 1, 2);
#elif CASE == 15 // missing_argument_of_start: add_later_start
    error += add_later_start(&soon, 1);
#elif CASE == 16 // wrong_argument_of_await: add_later_await
    error += add_later_await(&sum, page, 2);
#elif CASE == 17 // wrong_argument_of_new: fetch_new
    struct anysync_task *task = NULL;
    error += fetch_new(&task, page);
#elif CASE == 18 // code_not_looked_at: add_later_run
    add_later_run(&sum, 1, 2);
#elif CASE == 19 // no_result_in_a_void_body: result
#elif CASE == 20 // definition_unlike_declaration: shared
#elif CASE == 21 // nine_arguments: more_than_8_arguments
#elif CASE == 22 // argument_called_result: result
#elif CASE > 22 && CASE < 39
#else
#error no such case
#endif
    add_later_drop(&soon);
    fetch_drop(&other);
    return error + sum;
}

int use_blocking(void);
int use_blocking(void)
{
    int sum = 0, error = 0;
    long wide = 0;
    struct page page = {1};
    (void)wide, (void)page; // no case fails for want of a use

#if CASE == 0
    error += compute(&sum, 1, "a") + compute_offload(NULL, &sum, 1, "a");
#elif CASE == 35 // wrong_argument_of_blocking: compute
    error += compute(&sum, 1, page);
#elif CASE == 36 // wrong_argument_of_offload: compute_offload
    error += compute_offload(NULL, &sum, 1, &wide);
#elif CASE == 37 // wrong_result_of_offload: compute_offload
    error += compute_offload(NULL, &wide, 1, "a");
#elif CASE == 38 // missing_argument_of_offload: compute_offload
    error += compute_offload(NULL, &sum, 1);
#endif
    return error + sum;
}

int use_generators(void);
int use_generators(void)
{
    int sum = 0, error = 0;
    long wide = 0;
    struct page page = {1};
    count_to_generator counter = {NULL};
    pages_generator reader = {NULL};
    (void)counter, (void)reader;
    (void)wide, (void)page; // no case fails for want of a use

#if CASE == 0
    error += count_to_open(&counter, 3) + count_to_next(&counter, &sum);
    error += pages_send(&reader, "a", &page);
    ANYSYNC_FOR(count_to, item, &error, 3)
    {
        ANYSYNC_WITH(opened, with, &error, "a")
        {
            sum += item + with.number;
        }
    }
#elif CASE == 23 // wrong_type_of_a_generators_argument: count_to_open
    error += count_to_open(&counter, "3");
#elif CASE == 24 // wrong_type_of_an_item: count_to_next
    error += count_to_next(&counter, &wide);
#elif CASE == 25 // wrong_generator: count_to_next
    error += count_to_next(&reader, &sum);
#elif CASE == 26 // wrong_type_of_a_sent_value: pages_send
    error += pages_send(&reader, page, &page);
#elif CASE == 27 // wrong_type_in_a_loop: count_to_asi_for last
    ANYSYNC_FOR(count_to, item, &error, "3")
    {
        sum += item;
    }
#elif CASE == 28 // item_of_another_type_in_a_loop: page
    ANYSYNC_FOR(count_to, item, &error, 3)
    {
        page = item;
    }
#elif CASE == 29 // wrong_generator_in_a_rest_loop: count_to_asi_for_rest count_to_generator
    ANYSYNC_FOR_REST(count_to, item, &error, &reader)
    {
        sum += item;
    }
#elif CASE == 30 // yield_of_another_type: pages_yield
    error += pages_yield(sum);
#elif CASE == 31 // next_not_looked_at: count_to_next
    count_to_next(&counter, &sum);
#elif CASE == 32 // wrong_type_of_a_managers_argument: opened_asi_with url
    ANYSYNC_WITH(opened, with, &error, page)
    {
        sum += with.number;
    }
#elif CASE == 33 // value_of_another_type: sum
    ANYSYNC_WITH(opened, with, &error, "a")
    {
        sum = with;
    }
#elif CASE == 34 // iterator_of_another_type: iterator
    ANYSYNC_FOR_EACH(int, item, &counter, &error)
    {
        sum += item;
    }
#endif
    count_to_drop(&counter);
    pages_drop(&reader);
    return error + sum;
}

#if CASE == 19
ANYSYNC_COROUTINE(void, speak)
{
    *result = 1;
    return 0;
}
#elif CASE == 20
ANYSYNC_COROUTINE_DEFINE(int, shared, (long, a))
{
    *result = (int)a;
    return 0;
}
#elif CASE == 21
ANYSYNC_COROUTINE(int, nine, (int, a), (int, b), (int, c), (int, d), (int, e), (int, f), (int, g),
        (int, h), (int, i))
{
    return 0;
}
#elif CASE == 22
ANYSYNC_COROUTINE(int, twice, (int, result))
{
    return 0;
}
#endif
