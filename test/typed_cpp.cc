/* SPDX-License-Identifier: MIT */
/*
 * Typed functions shared by C and C++.  This one file is compiled twice, as C11 and as C++17, and the
 * two halves are linked: each defines a function that the other declares and calls.
 * REFUSE=1, 2 ... adds something that must not compile as C++.
 * Used by test_typed_cpp.sh; ends with 0 if every call gave the right value.
 */
#include <anysync/cancel.h>
#include <anysync/group.h>
#include <anysync/generator_typed.h>
#include <anysync/manager.h>
#include <anysync/typed.h>
#include <anysync/vars.h>

#include <errno.h>

struct page {
    int number;
    const char *text;
};

/* What would be a header of the user. */
ANYSYNC_COROUTINE_DECLARE(int, add_in_c, (int, a), (int, b));
ANYSYNC_COROUTINE_DECLARE(struct page, turn_in_cpp, (struct page, page), (int, by));
ANYSYNC_COROUTINE_DECLARE(void, both);
ANYSYNC_GENERATOR_DECLARE(int, count_in_c, (int, last));
ANYSYNC_GENERATOR_DECLARE_SENT(struct page, int, pages_in_cpp, (struct page, first));
ANYSYNC_CONTEXT_MANAGER_DECLARE(struct page, opened_in_c, (int, number));

/* In C and in C++. */
static int dropped;

static void drop_page(struct page **page)
{
    dropped += (*page)->number;
}

ANYSYNC_VAR(int, depth, 3);
ANYSYNC_VAR(const char *, title, "none");
ANYSYNC_VAR_DROP(struct page *, current, 0, drop_page);

/* 0 if variables, scopes and groups work in this language. */
static inline int check_blocks(void)
{
    struct anysync_token token;
    struct page page = {5, "five"};
    add_in_c_future soon;
    int error = -1, value = 0;

    if (depth_get() != 3 || depth_set(4, &token) != 0 || depth_get() != 4)
        return 1;
    if (anysync_var_reset(&token) != 0 || depth_get() != 3 || title_get()[0] != 'n')
        return 2;
    if (title_set("some", NULL) != 0 || title_get()[0] != 's')
        return 3;
    if (current_get() || current_set(&page, &token) != 0 || current_get()->number != 5)
        return 4;
    if (anysync_var_reset(&token) != 0 || dropped != 5)
        return 5;
    dropped = 0;
    ANYSYNC_SCOPE(&error, ANYSYNC_POLL)
    {
        error = anysync_sleep(ANYSYNC_FOREVER);
    }
    if (error != -ETIMEDOUT)
        return 6;
    error = 0;
    ANYSYNC_GROUP(group, &error)
    {
        error = add_in_c_spawn(group, &soon, 2, 3);
    }
    if (error || !add_in_c_ready(&soon) || add_in_c_value(&soon, &value) != 0 || value != 5)
        return 7;
    add_in_c_drop(&soon);
    return 0;
}

#ifndef __cplusplus

ANYSYNC_COROUTINE_DEFINE(int, add_in_c, (int, a), (int, b))
{
    int error = anysync_yield();
    *result = a + b;
    return error;
}

ANYSYNC_COROUTINE_DEFINE_STACK(128 << 10, void, both)
{
    struct page page = {1, "C"};
    if (check_blocks() != 0)
        return -1;
    int error = turn_in_cpp(&page, page, 2);
    if (error)
        return error;
    return page.number == 3 && page.text[0] == 'C' ? 0 : -1;
}

ANYSYNC_GENERATOR_DEFINE(int, count_in_c, (int, last))
{
    int error = 0;
    for (int i = 1; i <= last && !error; i++)
        error = count_in_c_yield(i);
    return error;
}

ANYSYNC_CONTEXT_MANAGER_DEFINE(struct page, opened_in_c, (int, number))
{
    struct page page = {number, "open"};
    return opened_in_c_yield(page);
}

#else

#include <cstdio>
#include <string>

namespace {

/* Local to this file, and inside a namespace. */
ANYSYNC_COROUTINE(const char *, second_word, (const char *, text))
{
    while (*text && *text != ' ')
        text++;
    *result = *text ? text + 1 : text;
    return 0;
}

ANYSYNC_COROUTINE(int, answer)
{
    *result = 42;
    return 0;
}

ANYSYNC_COROUTINE(void, count, (int &, counter))
{
    counter++;
    return 0;
}

ANYSYNC_GENERATOR(page, local_pages)
{
    page first = {1, "one"};
    return local_pages_yield(first);
}

#if defined(REFUSE) && REFUSE == 1 // refuses_a_wrong_argument: add_in_c
int refused = add_in_c(nullptr, "1", 2);
#elif defined(REFUSE) && REFUSE == 2 // refuses_a_wrong_result: add_in_c
long wide;
int refused = add_in_c(&wide, 1, 2);
#elif defined(REFUSE) && REFUSE == 3 // refuses_a_mixed_up_future: answer_wait
second_word_future other;
int refused = answer_wait(&other, nullptr, 0);
#elif defined(REFUSE) && REFUSE == 4 // refuses_a_result_with_a_constructor: byte
ANYSYNC_COROUTINE(std::string, name)
{
    return 0;
}
#elif defined(REFUSE) && REFUSE == 5 // refuses_an_argument_with_a_constructor: byte
ANYSYNC_COROUTINE(int, length, (std::string, name))
{
    return 0;
}
#elif defined(REFUSE) && REFUSE == 6 // refuses_an_item_with_a_constructor: byte
ANYSYNC_GENERATOR(std::string, lines)
{
    return 0;
}
#elif defined(REFUSE) && REFUSE == 7 // refuses_a_wrong_item: count_in_c_next
long far_away;
count_in_c_generator counter;
int refused = count_in_c_next(&counter, &far_away);
#endif

#define RIGHT(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "line %d: not so: %s\n", __LINE__, #condition);                        \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

int check()
{
    page first = {7, "seven"};
    const char *word = nullptr;
    int value = 0;

    RIGHT(add_in_c(&value, 1, 2) == 0 && value == 3);
    RIGHT(add_in_c_run_until(&value, 3, 4, anysync_in_seconds(1000)) == 0 && value == 7);
    RIGHT(turn_in_cpp_run(&first, first, 1) == 0 && first.number == 8);
    RIGHT(both() == 0 && both_run() == 0);
    RIGHT(both_function.stack_size == 128 << 10);
    RIGHT(second_word(&word, "one two") == 0 && std::string(word) == "two");
    RIGHT(answer_run_here(&value) == 0 && value == 42);
    {
        ANYSYNC_SCOPED_FUTURE(add_in_c, soon);
        RIGHT(add_in_c_start(&soon, 20, 30) == 0);
        RIGHT(add_in_c_wait(&soon, &value, ANYSYNC_FOREVER) == 0 && value == 50);
    }
    int error = 0, sum = 0;
    ANYSYNC_FOR(count_in_c, i, &error, 4)
    {
        ANYSYNC_WITH(opened_in_c, opened, &error, i)
        {
            sum += opened.number;
        }
    }
    RIGHT(error == 0 && sum == 10);
    ANYSYNC_FOR(local_pages, one, &error)
    {
        sum += one.number;
    }
    pages_in_cpp_generator pages;
    RIGHT(pages_in_cpp_open(&pages, first) == 0);
    RIGHT(pages_in_cpp_next(&pages, &first) == 0 && first.number == 8);
    RIGHT(pages_in_cpp_send(&pages, 5, &first) == 0 && first.number == 13);
    pages_in_cpp_drop(&pages);
    RIGHT(error == 0 && sum == 11);
    value = 0;
    RIGHT(count(value) == 0 && value == 1);
    RIGHT(check_blocks() == 0);
    return 0;
}

} // namespace

ANYSYNC_COROUTINE_DEFINE(struct page, turn_in_cpp, (struct page, page), (int, by))
{
    *result = page;
    result->number += by;
    return 0;
}

ANYSYNC_GENERATOR_DEFINE_SENT(struct page, int, pages_in_cpp, (struct page, first))
{
    int sent = 0;
    int error = pages_in_cpp_yield_receive(first, &sent);
    first.number += sent;
    return error ? error : pages_in_cpp_yield(first);
}

int main()
{
    return check();
}

#endif
