/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
/*
 * Stacks of coroutines (lib/coro/stack.h).
 *
 * Promised                                  Tested by
 *   stack size, guard below                   a_stack_is_as_large_as_asked, the_guard_is_below,
 *                                             a_fault_in_the_guard_is_told
 *   recycling: last given first taken; sizes  a_stack_given_back_is_taken_next,
 *   are kept apart                            sizes_are_kept_apart
 *   trimming: 256 keep their pages, others    trimmed_stacks_beyond_256_give_their_memory_back,
 *   lose them, empty slabs are unmapped, the  trimming_spares_what_was_needed_meanwhile,
 *   rest stays as it is, with its guards      a_slab_with_a_stack_in_use_loses_the_others_pages
 *   no memory, address space, guard: NULL     every_refusal_is_told, the_address_space_may_end,
 *   and a reason; 17 sizes; silly sizes       k4_no_mapping_for_a_guard_is_an_error,
 *                                             a_seventeenth_size_is_refused,
 *                                             a_size_beyond_all_memory_is_refused
 *   200,000 guarded stacks at once            stress_two_hundred_thousand_guarded_stacks
 */
#include "coros.h"

#include "coro/overflow.h"
#include "coro/stack.h"
#include "fault.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

static void use_stack(void *argument)
{
    unsigned char bytes[48 * KIB];

    memset(bytes, 7, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        steps += bytes[i] == 7;
    (void)argument;
    back();
}

TEST(a_stack_is_as_large_as_asked)
{
    struct asi_coro *coro = new_coro(96 * KIB); /* sanitizers make frames larger */

    asi_coro_init_host(&host);
    CHECK_GE(coro->size, 92 * KIB);
    asi_coro_prepare(coro, use_stack, NULL);
    resume(coro);
    CHECK_EQ(steps, 48 * KIB);
    asi_coro_free(coro);
    struct asi_coro *odd = new_coro(20000); /* rounded up to pages */
    CHECK_GE(odd->size + 4096, 20000);
    memset(odd->low, 1, odd->size);
    asi_coro_free(odd);
}

TEST(the_guard_is_below)
{
    struct asi_coro *coro = new_coro(SIZE);

    CHECK(asi_stack_guards(coro, coro->low - 1));
    CHECK(asi_stack_guards(coro, coro->low - ASI_GUARD_SIZE));
    CHECK(!asi_stack_guards(coro, coro->low - ASI_GUARD_SIZE - 1));
    CHECK(!asi_stack_guards(coro, coro->low));
    asi_coro_init_host(&host);
    CHECK(!asi_stack_guards(&host, coro->low - 1));
    asi_coro_free(coro);
}

static void touch(void *argument)
{
    *(char *)argument = 1;
    back();
}

static int touch_guard(void *argument)
{
    static char memory[ASI_OVERFLOW_STACK];

    signal(SIGSEGV, SIG_DFL);               /* what a sanitizer has there prints too much */
    struct asi_coro *coro = new_coro(SIZE); /* installs the handler */
    asi_overflow_enter(memory);
    asi_coro_init_host(&host);
    asi_coro_prepare(coro, touch, coro->low - *(int *)argument);
    resume(coro);
    return 0;
}

TEST(a_fault_in_the_guard_is_told)
{
    static int places[] = {1, ASI_GUARD_SIZE / 2, ASI_GUARD_SIZE};

    for (int i = 0; i < 3; i++) {
        struct test_child child = test_child(touch_guard, &places[i]);
        CHECK(!child.exited || child.status != 0);
        CHECK_CONTAINS(child.errors, "overflowed its");
        free(child.errors);
    }
}

TEST(a_stack_given_back_is_taken_next)
{
    struct asi_coro *one = new_coro(SIZE), *two = new_coro(SIZE);

    CHECK(one != two);
    asi_coro_free(one);
    asi_coro_free(two);
    CHECK(new_coro(SIZE) == two);
    CHECK(new_coro(SIZE) == one);
    asi_coro_free(one);
    asi_coro_free(two);
}

/* Bytes of this process that are in memory, or mapped. */
static long memory_of_process(bool mapped)
{
    long pages[2] = {0, 0};
    FILE *file = fopen("/proc/self/statm", "r");

    if (!file)
        test_skip("no /proc");
    CHECK_EQ(fscanf(file, "%ld %ld", &pages[0], &pages[1]), 2);
    fclose(file);
    return pages[mapped ? 0 : 1] * 4096;
}

static int touch_below(void *address)
{
    signal(SIGSEGV, SIG_DFL);
    *(volatile char *)address = 1;
    return 0;
}

enum { CROWD = 1024 };

static struct asi_coro *crowd[CROWD];

static void take_crowd(void)
{
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = new_coro(SIZE);
        memset(crowd[i]->low, 1, crowd[i]->size);
    }
}

static void give_crowd(void)
{
    for (int i = 0; i < CROWD; i++)
        asi_coro_free(crowd[i]);
}

TEST(trimmed_stacks_beyond_256_give_their_memory_back)
{
    if (TEST_SANITIZED)
        test_skip("a sanitizer has memory of its own");
    take_crowd();
    CHECK(!asi_stacks_spare());
    long resident = memory_of_process(false), mapped = memory_of_process(true);
    give_crowd();
    CHECK(asi_stacks_spare());
    CHECK(!asi_stacks_trim(true, CROWD));
    CHECK(!asi_stacks_spare());
    /* The first 256 that were freed stay warm: four slabs.  The other twelve are unmapped. */
    CHECK_GE(resident - memory_of_process(false), (CROWD - ASI_WARM_STACKS) * (long)SIZE * 9 / 10);
    CHECK_GE(mapped - memory_of_process(true),
            (CROWD - ASI_WARM_STACKS) * (long)(SIZE + ASI_GUARD_SIZE) * 9 / 10);
    for (int i = 0; i < ASI_WARM_STACKS; i++)
        crowd[i] = new_coro(SIZE);
    CHECK_EQ(fault_count("mmap"), CROWD / 64); /* they were all there */
    CHECK(new_coro(SIZE) != NULL);
    CHECK_EQ(fault_count("mmap"), CROWD / 64 + 1);
}

TEST(trimming_spares_what_was_needed_meanwhile)
{
    enum { NEEDED = 512 };

    take_crowd();
    give_crowd();
    CHECK(!asi_stacks_trim(false, CROWD)); /* they were all in use since the last time: never */
    CHECK(asi_stacks_spare());
    for (int i = 0; i < NEEDED; i++)
        crowd[i] = new_coro(SIZE);
    for (int i = 0; i < NEEDED; i++)
        asi_coro_free(crowd[i]);
    CHECK(!asi_stacks_trim(false, CROWD)); /* 512 were not needed, 256 of them are kept */
    CHECK(asi_stacks_spare());
    CHECK_EQ(fault_count("mmap"), CROWD / 64);
    for (int i = 0; i < CROWD - 256; i++)
        crowd[i] = new_coro(SIZE);
    CHECK_EQ(fault_count("mmap"), CROWD / 64); /* these were left */
    for (int i = 0; i < CROWD - 256; i++)
        asi_coro_free(crowd[i]);
    asi_stacks_trim(false, CROWD);
    CHECK(asi_stacks_spare()); /* all were needed */
    CHECK(!asi_stacks_trim(false, CROWD));
    CHECK(!asi_stacks_spare()); /* none was */
}

TEST(a_slab_with_a_stack_in_use_loses_the_others_pages)
{
    if (TEST_SANITIZED)
        test_skip("a sanitizer has memory of its own");
    take_crowd();
    long resident = memory_of_process(false);
    for (int i = 0; i < CROWD; i++) {
        if (i % 16 != 5) /* four in each slab stay */
            asi_coro_free(crowd[i]);
    }
    CHECK(!asi_stacks_trim(true, CROWD));
    CHECK_GE(resident - memory_of_process(false),
            (CROWD / 16 * 15 - ASI_WARM_STACKS) * (long)SIZE * 9 / 10);
    for (int i = 5; i < CROWD; i += 16) {
        for (size_t k = 0; k < crowd[i]->size; k++)
            CHECK(crowd[i]->low[k] == 1);
    }
    for (int i = 0; i < CROWD; i++) { /* the others are as good as new, guards and all */
        if (i % 16 != 5) {
            crowd[i] = new_coro(SIZE);
            memset(crowd[i]->low, 2, crowd[i]->size);
        }
    }
    CHECK_EQ(fault_count("mmap"), CROWD / 64);
    struct test_child child = test_child(touch_below, crowd[900]->low - ASI_GUARD_SIZE);
    CHECK_EQ(child.signal, SIGSEGV);
    free(child.errors);
    child = test_child(touch_below, crowd[900]->low - 1);
    CHECK_EQ(child.signal, SIGSEGV);
    free(child.errors);
    give_crowd();
}

TEST(sizes_are_kept_apart)
{
    struct asi_coro *small = new_coro(16 * KIB);

    asi_coro_free(small);
    struct asi_coro *large = new_coro(128 * KIB);
    CHECK(large != small);
    CHECK_GE(large->size, 124 * KIB);
    asi_coro_free(large);
    CHECK(new_coro(16 * KIB) == small);
    asi_coro_free(small);
}

TEST(every_refusal_is_told)
{
    const char *why = NULL;

    fault_fail("malloc", 1, false);
    CHECK(asi_coro_new(SIZE, &why) == NULL);
    CHECK(why != NULL);
    fault_fail("mmap", 1, false);
    CHECK(asi_coro_new(SIZE, &why) == NULL);
    CHECK_CONTAINS(why, "no address space or no mapping");
    fault_clear();
    fault_fail("guard", 1, true); /* the light ones: the heavy ones do as well */
    struct asi_coro *coro = new_coro(SIZE);
    fault_clear();
    asi_coro_free(coro);
}

/* Half the address space at most. */
enum { MOST_MAPPINGS = sizeof(void *) < 8 ? 1 << 18 : 1 << 21 };

/* Use up the mappings of this process: each second page of a large region differs from the rest.
 * Returns the region, or NULL if the system has more than we want to use up. */
static char *use_up_mappings(size_t page)
{
    char *region = mmap(NULL, MOST_MAPPINGS * page, PROT_NONE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    CHECK(region != MAP_FAILED);
    for (size_t i = 0; i < MOST_MAPPINGS; i += 2) {
        if (mprotect(region + i * page, page, PROT_READ) != 0) {
            CHECK_EQ(errno, ENOMEM);
            return region;
        }
    }
    munmap(region, MOST_MAPPINGS * page);
    return NULL;
}

TEST(k4_no_mapping_for_a_guard_is_an_error)
{
    const char *why = "";
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    if (TEST_SANITIZED)
        test_skip("a sanitizer needs mappings");
    struct asi_coro *first = new_coro(SIZE); /* there is a slab with room for another */
    char *region = use_up_mappings(page);
    if (!region)
        test_skip("there is no end of mappings");
    fault_fail("guard", 1, true); /* the light ones need no mapping */
    CHECK(asi_coro_new(SIZE, &why) == NULL);
    CHECK_CONTAINS(why, "no mapping is left for a stack's guard");
    CHECK_EQ(munmap(region, MOST_MAPPINGS * page), 0);
    asi_coro_free(new_coro(SIZE));
    asi_coro_free(first);
    fault_clear();
}

TEST(a_seventeenth_size_is_refused)
{
    struct asi_coro *coros[16];
    const char *why = NULL;

    for (size_t i = 0; i < 16; i++)
        coros[i] = new_coro((i + 4) * 4 * KIB);
    CHECK(asi_coro_new(SIZE * 16, &why) == NULL);
    CHECK_CONTAINS(why, "more than 16 different stack sizes");
    for (int i = 0; i < 16; i++)
        asi_coro_free(coros[i]);
}

static int take_too_much(void *argument)
{
    const char *why = NULL;

    if (asi_coro_new(*(size_t *)argument, &why))
        return 1;
    return why ? 0 : 2;
}

/* Products and sums of sizes must not wrap around into something small. */
TEST(a_size_beyond_all_memory_is_refused)
{
    static size_t sizes[] = {SIZE_MAX / 2, SIZE_MAX / 64 + 1, SIZE_MAX - 4096, SIZE_MAX};

    for (int i = 0; i < 4; i++) {
        struct test_child child = test_child(take_too_much, &sizes[i]);
        CHECK(child.exited);
        CHECK_EQ(child.status, 0);
        free(child.errors);
    }
}

static int exhaust_address_space(void *argument)
{
    struct rlimit limit = {.rlim_cur = 300 * KIB * KIB, .rlim_max = 300 * KIB * KIB};
    const char *why = NULL;
    int count = 0;
    struct asi_coro *last = NULL, *coro;

    (void)argument;
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    while ((coro = asi_coro_new(SIZE, &why)) != NULL) {
        coro->next = last;
        last = coro;
        count++;
    }
    CHECK_GE(count, 64);
    CHECK_CONTAINS(why, "no address space");
    for (; last; last = coro) {
        coro = last->next;
        asi_coro_free(last);
    }
    CHECK((last = asi_coro_new(SIZE, &why)) != NULL);
    asi_coro_free(last);
    return 0;
}

TEST(the_address_space_may_end)
{
    if (TEST_SANITIZED)
        test_skip("a sanitizer needs address space of its own");
    struct test_child child = test_child(exhaust_address_space, NULL);
    CHECK_STR(child.errors, "");
    CHECK_EQ(child.status, 0);
    free(child.errors);
}

/* Light guards need Linux 6.13; without them the kernel's limit on mappings ends this near 32,000.
 */
static bool has_light_guards(void)
{
    struct utsname name;
    int major = 0, minor = 0;

    return uname(&name) == 0 && strcmp(name.sysname, "Linux") == 0 &&
           sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
           (major > 6 || (major == 6 && minor >= 13));
}

TEST(stress_two_hundred_thousand_guarded_stacks)
{
    int count = (int)test_scaled(200000), by = 1;

    if (TEST_SANITIZED)
        test_skip("a sanitizer has too much to remember of each stack");
    if (sizeof(void *) < 8)
        test_skip("the address space is too small");
    if (!has_light_guards())
        test_skip("this kernel has no light guards");
    struct asi_coro **coros = calloc((size_t)count, sizeof(struct asi_coro *));
    CHECK(coros != NULL);
    asi_coro_init_host(&host);
    for (int i = 0; i < count; i++) {
        coros[i] = new_coro(16 * KIB);
        asi_coro_prepare(coros[i], count_steps, &by);
        resume(coros[i]);
    }
    CHECK_EQ(steps, count);
    CHECK_GE(fault_count("guard"), count / 64); /* light ones, for many at once */
    for (int i = 0; i < count; i++) {
        resume(coros[i]);
        asi_coro_free(coros[i]);
    }
    CHECK_EQ(steps, 2 * count);
    free(coros);
}
