/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1
/*
 * The explorer: runs scenes in one order after another.  (What that is: virtual.h.)
 *
 *   virtual [OPTION...] [SCENE...]      all scenes, each in all orders within its bounds
 *
 *   --preemptions N, --delays N   other bounds for all
 *   --random N, --rank N          N executions of each scene at random, or by rank
 *   --most N                      stop after so many executions of a scene
 *   --seed S                      of the first of these
 *   --replay ORDER                one execution, as a failure printed it, with all its points
 *   --list                        the names of the scenes
 *
 * Prints a line for each scene, and "N orders, N scenes failed".  Ends with 1 if any failed.
 */
#include "explore.h"

#include "machine.h"

#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    MOST_CHOICES = 1 << 16,
    STACK_SIZE = 128 << 10,
    RANK_POINTS = 3 /* points where who runs gets the lowest rank */
};

extern const struct virtual_scene *const scenes_begin[] __asm__("__start_virtual_scenes");
extern const struct virtual_scene *const scenes_end[] __asm__("__stop_virtual_scenes");

struct explore explore;
char tls_fresh[TLS_SIZE];

static char *data_fresh;
static struct asi_coro explorer; /* where an execution returns to */

/* The order of the execution that runs, and how long the part is that was given. */
static struct choice {
    uint8_t count, chosen;
} choices[MOST_CHOICES];
static unsigned choice_count, given_count;

static uint64_t seed; /* of this execution */
static uint64_t random_state;
static unsigned rank_points[RANK_POINTS], usual_points = 1000;
static int lowest_rank;

static bool failed, tracing;
static char failure[1024];
static const struct virtual_scene *scene;

/* --- choices ---------------------------------------------------------------------------------- */

/* xorshift (Marsaglia 2003) */
static uint32_t random_number(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32);
}

bool explore_may_switch(void)
{
    switch (explore.way) {
    case BY_DEPTH:
        return explore.preemptions < explore.most_preemptions;
    case AT_RANDOM:
        return (random_number() & 7) == 0;
    case BY_RANK:
        for (int i = 0; i < RANK_POINTS; i++) {
            if (explore.points == rank_points[i])
                running->rank = --lowest_rank;
        }
        return true;
    }
    return false;
}

bool explore_may_delay(void)
{
    if (explore.way == BY_DEPTH)
        return explore.delays < explore.most_delays;
    return explore.most_delays > 0 && (random_number() & 7) == 0;
}

unsigned explore_choose(unsigned count)
{
    if (count <= 1)
        return 0;
    explore.chose = true;
    if (explore.way != BY_DEPTH)
        return random_number() % count;
    if (choice_count == MOST_CHOICES)
        virtual_fail("it does not end");
    struct choice *choice = &choices[choice_count++];
    if (choice_count > given_count)
        *choice = (struct choice){(uint8_t)count, 0};
    else if (choice->count == 0) /* of a replay, which does not know it */
        choice->count = (uint8_t)count;
    else if (choice->count != count)
        explore_give_up("an execution did not repeat itself");
    return choice->chosen;
}

unsigned virtual_choose(unsigned count)
{
    return explore_choose(count);
}

void virtual_disturb(int interruptions, int refusals)
{
    explore.refusals = refusals;
    if (explore.way == BY_DEPTH) /* else there is no end of them */
        explore.interruptions = interruptions;
}

void virtual_be_punctual(void)
{
    explore.punctual = true;
}

bool explore_disturbs(int *left)
{
    if (*left == 0)
        return false;
    explore.chose = true;
    if (explore.way != BY_DEPTH && (random_number() & 7) != 0)
        return false;
    bool chosen = explore_choose(2) == 1;
    *left -= chosen;
    return chosen;
}

int explore_rank(void)
{
    return (int)(random_number() & 0xffff);
}

/* The next order by depth; false: there is none. */
static bool next_order(void)
{
    while (choice_count > 0 &&
            choices[choice_count - 1].chosen + 1 >= choices[choice_count - 1].count)
        choice_count--;
    if (choice_count == 0)
        return false;
    choices[choice_count - 1].chosen++;
    given_count = choice_count;
    return true;
}

static void print_order(FILE *file)
{
    if (explore.way != BY_DEPTH) {
        fprintf(file, "%s:%llu:%u:%d", explore.way == AT_RANDOM ? "random" : "rank",
                (unsigned long long)seed, usual_points, explore.most_delays);
        return;
    }
    fprintf(file, "depth:%d:%d", explore.most_preemptions, explore.most_delays);
    for (unsigned i = 0; i < choice_count; i++) {
        if (choices[i].chosen > 0)
            fprintf(file, ":%u=%u", i, choices[i].chosen);
    }
}

/* What print_order() printed. */
static void read_order(const char *text)
{
    unsigned long long number;
    int used, delays;

    if (sscanf(text, "random:%llu:%u:%d", &number, &usual_points, &delays) == 3 ||
            sscanf(text, "rank:%llu:%u:%d", &number, &usual_points, &delays) == 3) {
        explore.way = strncmp(text, "random", 6) == 0 ? AT_RANDOM : BY_RANK;
        explore.most_delays = delays;
        seed = number;
        return;
    }
    explore.way = BY_DEPTH;
    if (sscanf(text, "depth:%d:%d%n", &explore.most_preemptions, &explore.most_delays, &used) != 2)
        explore_give_up("an order looks like depth:2:1:17=1:42=2 or random:123:1000:1");
    memset(choices, 0, sizeof(choices));
    unsigned at, chosen;
    for (text += used; sscanf(text, ":%u=%u%n", &at, &chosen, &used) == 2; text += used) {
        if (at >= MOST_CHOICES)
            explore_give_up("this order is too long");
        choices[at].chosen = (uint8_t)chosen;
    }
    given_count = MOST_CHOICES;
}

/* --- one execution ---------------------------------------------------------------------------- */

void explore_note(const char *operation, const volatile void *object, const char *where)
{
    if (!tracing)
        return;
    printf("    %5u  thread %d  %-9s", explore.points, running->number, operation);
    if (object >= (void *)data_begin && object < (void *)data_end)
        printf(" data+%-8tx", (const volatile char *)object - data_begin);
    else
        printf(" %-13p", (void *)(uintptr_t)object);
    printf(" %s\n", where);
}

void leave(void)
{
    asi_coro_swap(&running->coro, &explorer);
    abort();
}

void virtual_fail(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    vsnprintf(failure, sizeof(failure), format, list);
    va_end(list);
    failed = true;
    leave();
}

void explore_stuck(void)
{
    size_t length = (size_t)snprintf(failure, sizeof(failure), "nobody can go on");

    for (int i = 0; i < VIRTUAL_THREADS && length < sizeof(failure); i++) {
        if (threads[i].state == ASLEEP)
            length += (size_t)snprintf(failure + length, sizeof(failure) - length,
                    "; thread %d sleeps in %s", i, threads[i].where);
    }
    failed = true;
    leave();
}

void explore_give_up(const char *why)
{
    fprintf(stderr, "virtual: %s\n", why);
    exit(2);
}

bool explore_is_over(void)
{
    for (int i = 0; i < VIRTUAL_THREADS; i++) {
        if (threads[i].awaited && threads[i].state != ENDED)
            return false;
    }
    return true;
}

static void *run_scene(void *argument)
{
    (void)argument;
    scene->run();
    return NULL;
}

static void execute(void)
{
    memcpy(data_begin, data_fresh, (size_t)(data_end - data_begin));
    memory_reset();
    system_reset();
    explore.points = 0;
    explore.preemptions = 0;
    explore.delays = 0;
    explore.interruptions = explore.way == BY_DEPTH ? 0 : INT_MAX;
    explore.refusals = 0;
    explore.chose = false;
    explore.punctual = false;
    choice_count = 0;
    failed = false;
    now_ns = 1000000000;
    random_state = seed * 0x9e3779b97f4a7c15u | 1u;
    lowest_rank = 0;
    for (int i = 0; i < RANK_POINTS; i++)
        rank_points[i] = 1 + random_number() % usual_points;
    for (int i = 0; i < VIRTUAL_THREADS; i++) {
        threads[i].state = UNUSED;
        threads[i].awaited = false;
        threads[i].delayed_count = 0;
        threads[i].coro.low = memory_take(STACK_SIZE, 4096);
        threads[i].coro.size = STACK_SIZE;
    }
    running = NULL;
    struct thread *first = thread_new(run_scene, NULL);
    first->awaited = true;
    memcpy(tls_begin, tls_fresh, (size_t)(tls_end - tls_begin));
    running = first;
    asi_coro_swap(&explorer, &first->coro);
    running = NULL;
}

/* --- all of them ------------------------------------------------------------------------------ */

static void say_failure(void)
{
    printf("%s: %s\n    --replay ", scene->name, failure);
    print_order(stdout);
    printf(" %s\n", scene->name);
    fflush(stdout);
}

static void on_fault(int number)
{
    if (running) {
        snprintf(failure, sizeof(failure), "signal %d after %s", number, running->where);
        say_failure();
    }
    _exit(1);
}

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

struct wish {
    int preemptions, delays; /* -1: the scene's own */
    unsigned long long at_random, by_rank, most, seed;
};

/* Whether the last execution had one thread, and nothing was chosen: then there is one order. */
static bool was_alone(void)
{
    if (explore.chose)
        return false;
    for (int i = 1; i < VIRTUAL_THREADS; i++) {
        if (threads[i].state != UNUSED)
            return false;
    }
    return true;
}

/* Executions of the scene in one way.  Returns how many, and whether all went well. */
static unsigned long long run_way(
        enum way way, const struct wish *wish, unsigned long long most, bool *ret_ok)
{
    unsigned long long done = 0, points = 0;
    double begin = seconds();

    explore.way = way;
    explore.most_preemptions = wish->preemptions >= 0 ? wish->preemptions : scene->preemptions;
    explore.most_delays = wish->delays >= 0 ? wish->delays : scene->delays;
    given_count = 0;
    bool more = true, whole = way == BY_DEPTH;
    while (more && done < most) {
        seed = wish->seed + done;
        execute();
        done++;
        points += explore.points;
        if (failed) {
            say_failure();
            break;
        }
        if (was_alone())
            more = false;
        else if (way == BY_DEPTH)
            more = next_order();
        else if (done == 1)
            usual_points = explore.points + 1;
    }
    static const char *const names[] = {"by depth", "at random", "by rank"};
    double took = seconds() - begin;
    printf("%-28s %-9s %d/%d %11llu orders %5llu points %7.1f s %8.0f/s  %s\n", scene->name,
            names[way], explore.most_preemptions, explore.most_delays, done, points / done, took,
            (double)done / took,
            failed          ? "FAILED"
            : whole && more ? "not all"
                            : "ok");
    fflush(stdout);
    *ret_ok = !failed;
    return done;
}

static bool is_planted(const char *name)
{
    return strncmp(name, "planted_", 8) == 0;
}

static bool is_wanted(const char *name, char **names)
{
    if (!*names)
        return !is_planted(name);
    for (; *names; names++) {
        if (strcmp(*names, name) == 0)
            return true;
    }
    return false;
}

static void list_scenes(void)
{
    for (const struct virtual_scene *const *at = scenes_begin; at < scenes_end; at++) {
        if (!is_planted((*at)->name))
            puts((*at)->name);
    }
}

static unsigned long long number_of(const char *text)
{
    if (!text)
        explore_give_up("an option lacks its number");
    return strtoull(text, NULL, 0);
}

static void replay(const char *order)
{
    if (!order || !scene)
        explore_give_up("--replay takes an order and one scene");
    read_order(order);
    tracing = true;
    execute();
    if (failed)
        say_failure();
    else
        printf("%s: it went well\n", scene->name);
}

int main(int count, char **words)
{
    struct wish wish = {.preemptions = -1, .delays = -1, .most = UINT64_MAX, .seed = 1};
    const char *order = NULL;
    unsigned long long orders = 0, failures = 0;
    const size_t scene_count = (size_t)(scenes_end - scenes_begin);
    int at = 1;

    (void)count;
    for (; words[at] && words[at][0] == '-'; at++) {
        const char *word = words[at];
        if (strcmp(word, "--list") == 0) {
            list_scenes();
            return 0;
        }
        const char *value = words[++at];
        if (strcmp(word, "--preemptions") == 0)
            wish.preemptions = (int)number_of(value);
        else if (strcmp(word, "--delays") == 0)
            wish.delays = (int)number_of(value);
        else if (strcmp(word, "--random") == 0)
            wish.at_random = number_of(value);
        else if (strcmp(word, "--rank") == 0)
            wish.by_rank = number_of(value);
        else if (strcmp(word, "--most") == 0)
            wish.most = number_of(value);
        else if (strcmp(word, "--seed") == 0)
            wish.seed = number_of(value);
        else if (strcmp(word, "--replay") == 0)
            order = value;
        else
            explore_give_up("unknown option");
    }

    static char fault_stack[64 << 10];
    stack_t alternative = {.ss_sp = fault_stack, .ss_size = sizeof(fault_stack)};
    struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_ONSTACK};
    sigaltstack(&alternative, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGILL, &action, NULL);
    sigaction(SIGFPE, &action, NULL);

    size_t size = (size_t)(data_end - data_begin);
    data_fresh = malloc(size);
    if (!data_fresh || (size_t)(tls_end - tls_begin) > TLS_SIZE)
        explore_give_up("no memory for what is set back, or more than expected");
    memcpy(data_fresh, data_begin, size);
    memcpy(tls_fresh, tls_begin, (size_t)(tls_end - tls_begin));
    memory_prepare();

    for (size_t i = 0; i < scene_count; i++) {
        bool ok = true;
        scene = scenes_begin[i];
        if (!is_wanted(scene->name, words + at))
            continue;
        if (order) {
            replay(order);
            return failed;
        }
        if (wish.at_random > 0)
            orders += run_way(AT_RANDOM, &wish, wish.at_random, &ok);
        if (ok && wish.by_rank > 0)
            orders += run_way(BY_RANK, &wish, wish.by_rank, &ok);
        if (ok && wish.at_random + wish.by_rank == 0)
            orders += run_way(BY_DEPTH, &wish, wish.most, &ok);
        failures += !ok;
    }
    printf("%llu orders, %llu scenes failed\n", orders, failures);
    return failures > 0;
}
