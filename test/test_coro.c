/* SPDX-License-Identifier: MIT */
/*
 * Coroutines (lib/coro/coro.h).  test_ucontext.sh runs this once more with the fallback.
 *
 * Promised                                  Tested by
 *   switching there and back, ping-pong       a_switch_goes_there_and_back,
 *                                             coros_switch_among_each_other
 *   running: who runs on this thread          the_running_coro_is_known
 *   prepare begins anew, whatever it did      a_coro_can_be_prepared_again,
 *   leave goes for good                       a_coro_that_left_can_be_prepared_again
 *   resuming one that left, returning from    resuming_a_coro_that_left_stops_the_program,
 *   an entry: the program stops               returning_from_an_entry_stops_the_program
 *   registers and locals are kept             locals_and_registers_survive_switches,
 *                                             vectors_survive_switches
 *   rounding is each coro's own, and begins   each_coro_has_its_own_rounding,
 *   as its maker's                            a_coro_begins_with_the_rounding_of_its_maker
 *   many at once; on many threads             ten_thousand_coros_take_turns,
 *                                             stress_threads_with_coros_share_the_stacks
 *   frames are 16-byte aligned                frames_are_aligned
 */
#include "coros.h"

#include <signal.h>

/* --- switching -------------------------------------------------------------------------------- */

TEST(a_switch_goes_there_and_back)
{
    int by = 3;
    struct asi_coro *coro = new_coro(SIZE);

    asi_coro_init_host(&host);
    asi_coro_prepare(coro, count_steps, &by);
    for (int i = 1; i <= 100; i++) {
        resume(coro);
        CHECK_EQ(steps, 3 * i);
    }
    asi_coro_free(coro);
}

enum { RING = 5 };

static struct asi_coro *ring[RING];

static void pass_on(void *argument)
{
    int *index = argument;

    for (;;) {
        CHECK_EQ(steps % RING, *index);
        if (++steps == 100 * RING)
            asi_coro_leave(ring[*index], &host);
        asi_coro_switch(ring[*index], ring[steps % RING]);
    }
}

TEST(coros_switch_among_each_other)
{
    int indexes[RING];

    asi_coro_init_host(&host);
    for (int i = 0; i < RING; i++) {
        indexes[i] = i;
        ring[i] = new_coro(SIZE);
        asi_coro_prepare(ring[i], pass_on, &indexes[i]);
    }
    resume(ring[0]);
    CHECK_EQ(steps, 100 * RING);
    for (int i = 0; i < RING; i++)
        asi_coro_free(ring[i]);
}

static void check_running(void *argument)
{
    CHECK(asi_coro_running == *(struct asi_coro **)argument);
    back();
}

TEST(the_running_coro_is_known)
{
    struct asi_coro *coro = new_coro(SIZE);

    asi_coro_init_host(&host);
    asi_coro_prepare(coro, check_running, &coro);
    resume(coro);
    CHECK(asi_coro_running == &host);
    asi_coro_free(coro);
}

TEST(a_coro_can_be_prepared_again)
{
    int by = 1;
    struct asi_coro *coro = new_coro(SIZE);

    asi_coro_init_host(&host);
    for (int i = 1; i <= 50; i++) {
        asi_coro_prepare(coro, count_steps, &by);
        resume(coro);
        if (i % 2)
            resume(coro);
    }
    CHECK_EQ(steps, 75);
    asi_coro_free(coro);
}

static void step_and_leave(void *argument)
{
    steps++;
    asi_coro_leave(*(struct asi_coro **)argument, &host);
}

TEST(a_coro_that_left_can_be_prepared_again)
{
    struct asi_coro *coro = new_coro(SIZE);

    asi_coro_init_host(&host);
    for (int i = 1; i <= 50; i++) {
        asi_coro_prepare(coro, step_and_leave, &coro);
        resume(coro);
        CHECK_EQ(steps, i);
    }
    asi_coro_free(coro);
}

static void just_return(void *argument)
{
    (void)argument;
}

static int return_from_entry(void *argument)
{
    struct asi_coro *coro = new_coro(SIZE);

    (void)argument;
    asi_coro_init_host(&host);
    asi_coro_prepare(coro, just_return, NULL);
    resume(coro);
    return 0;
}

TEST(returning_from_an_entry_stops_the_program)
{
    struct test_child child = test_child(return_from_entry, NULL);

    CHECK_EQ(child.signal, SIGABRT);
    CHECK_CONTAINS(child.errors, "a coroutine's entry function returned");
    free(child.errors);
}

static int resume_after_leave(void *argument)
{
    struct asi_coro *coro = new_coro(SIZE);

    (void)argument;
    asi_coro_init_host(&host);
    asi_coro_prepare(coro, step_and_leave, &coro);
    resume(coro);
    resume(coro);
    return 0;
}

TEST(resuming_a_coro_that_left_stops_the_program)
{
    if (TEST_ASAN)
        test_skip("the sanitizer has freed the coro's fake stack, and says so in its own way");
    struct test_child child = test_child(resume_after_leave, NULL);
    CHECK_EQ(child.signal, SIGABRT);
    CHECK_CONTAINS(child.errors, "left for good was resumed");
    free(child.errors);
}

/* --- what a switch keeps ---------------------------------------------------------------------- */

/* More values than there are registers, all in use across each switch. */
static void juggle(int seed)
{
    unsigned a = (unsigned)seed, b = a * 3, c = a * 5, d = a * 7, e = a * 11, f = a * 13;
    unsigned g = a * 17, h = a * 19, i = a * 23, j = a * 29, k = a * 31, l = a * 37;
    double x = seed, y = x * 2, z = x * 4;

    for (int round = 0; round < 100; round++) {
        back();
        a += 1, b += 2, c += 3, d += 4, e += 5, f += 6;
        g += 7, h += 8, i += 9, j += 10, k += 11, l += 12;
        x += 1, y += 2, z += 4;
    }
    CHECK_EQ(a + b + c + d + e + f + g + h + i + j + k + l, (unsigned)seed * 196 + 7800);
    CHECK(x + y + z == seed * 7.0 + 700);
    steps++;
}

static void juggle_all(void *argument)
{
    juggle(*(int *)argument);
    for (;;)
        back();
}

TEST(locals_and_registers_survive_switches)
{
    enum { COROS = 7 };
    struct asi_coro *coros[COROS];
    int seeds[COROS];

    asi_coro_init_host(&host);
    for (int i = 0; i < COROS; i++) {
        seeds[i] = i * 1000 + 1;
        coros[i] = new_coro(SIZE);
        asi_coro_prepare(coros[i], juggle_all, &seeds[i]);
    }
    for (int round = 0; round <= 100; round++) {
        for (int i = 0; i < COROS; i++)
            resume(coros[i]);
    }
    CHECK_EQ(steps, COROS);
    for (int i = 0; i < COROS; i++)
        asi_coro_free(coros[i]);
}

typedef long vector __attribute__((vector_size(64)));

static void add_vectors(void *argument)
{
    long by = *(int *)argument;
    vector sum = {0}, more = {by, by, by, by, by, by, by, by};

    for (int i = 0; i < 10; i++) {
        sum += more;
        back();
    }
    for (int i = 0; i < 8; i++)
        CHECK_EQ(sum[i], 10 * by);
    steps++;
    back();
}

TEST(vectors_survive_switches)
{
    int ones = 1, twos = 2;
    struct asi_coro *one = new_coro(SIZE), *two = new_coro(SIZE);

    asi_coro_init_host(&host);
    asi_coro_prepare(one, add_vectors, &ones);
    asi_coro_prepare(two, add_vectors, &twos);
    for (int i = 0; i < 11; i++) {
        resume(one);
        resume(two);
    }
    CHECK_EQ(steps, 2);
    asi_coro_free(one);
    asi_coro_free(two);
}

/* fesetround() and fegetround(), which would need the mathematics library. */
enum rounding { NEAREST, DOWN, UP };

#if defined(__x86_64__)
static void set_rounding(enum rounding rounding)
{
    unsigned mxcsr = 0;
    unsigned short x87 = 0; /* the memory sanitizer does not know what assembly writes */

    __asm__ __volatile__("stmxcsr %0" : "+m"(mxcsr));
    __asm__ __volatile__("fnstcw %0" : "+m"(x87));
    mxcsr = (mxcsr & ~0x6000u) | (unsigned)rounding << 13;
    x87 = (unsigned short)((x87 & ~0xc00u) | (unsigned)rounding << 10);
    __asm__ __volatile__("ldmxcsr %0" : : "m"(mxcsr));
    __asm__ __volatile__("fldcw %0" : : "m"(x87));
}

static enum rounding get_rounding(void)
{
    unsigned mxcsr = 0;
    unsigned short x87 = 0; /* the memory sanitizer does not know what assembly writes */

    __asm__ __volatile__("stmxcsr %0" : "+m"(mxcsr));
    __asm__ __volatile__("fnstcw %0" : "+m"(x87));
    CHECK_EQ(mxcsr >> 13 & 3, x87 >> 10 & 3);
    return (enum rounding)(mxcsr >> 13 & 3);
}
#elif defined(__aarch64__)
static void set_rounding(enum rounding rounding)
{
    static const uint64_t bits[] = {[NEAREST] = 0, [UP] = 1 << 22, [DOWN] = 2 << 22};
    uint64_t fpcr;

    __asm__ __volatile__("mrs %0, fpcr" : "=r"(fpcr));
    fpcr = (fpcr & ~((uint64_t)3 << 22)) | bits[rounding];
    __asm__ __volatile__("msr fpcr, %0" : : "r"(fpcr));
}

static enum rounding get_rounding(void)
{
    static const enum rounding roundings[] = {NEAREST, UP, DOWN, NEAREST};
    uint64_t fpcr;

    __asm__ __volatile__("mrs %0, fpcr" : "=r"(fpcr));
    return roundings[fpcr >> 22 & 3];
}
#else
static void set_rounding(enum rounding rounding)
{
    (void)rounding;
    test_skip("not written for this processor");
}

static enum rounding get_rounding(void)
{
    test_skip("not written for this processor");
}
#endif

/* The same sum, rounded by SSE (or the like) and by what long double uses. */
static bool rounds_up(void)
{
    double tiny = 1e-30;
    long double long_tiny = 1e-40L; /* some have 34 digits */

    /* For all the compiler knows they change here: the sums are made anew each time. */
    __asm__ __volatile__("" : "+m"(tiny), "+m"(long_tiny));
    bool up = 1.0 + tiny > 1.0, long_up = 1.0L + long_tiny > 1.0L;
    CHECK_EQ(up, long_up);
    return up;
}

static void keep_rounding_up(void *argument)
{
    (void)argument;
    CHECK(!rounds_up());
    set_rounding(UP);
    for (;;) {
        CHECK(rounds_up());
        CHECK_EQ(get_rounding(), UP);
        steps++;
        back();
    }
}

static void keep_rounding_down(void *argument)
{
    (void)argument;
    set_rounding(DOWN);
    for (;;) {
        CHECK(!rounds_up());
        CHECK_EQ(get_rounding(), DOWN);
        steps++;
        back();
    }
}

TEST(each_coro_has_its_own_rounding)
{
    struct asi_coro *up = new_coro(SIZE), *down = new_coro(SIZE);

    asi_coro_init_host(&host);
    asi_coro_prepare(up, keep_rounding_up, NULL);
    asi_coro_prepare(down, keep_rounding_down, NULL);
    for (int i = 0; i < 10; i++) {
        resume(up);
        CHECK_EQ(get_rounding(), NEAREST);
        CHECK(!rounds_up());
        resume(down);
        CHECK_EQ(get_rounding(), NEAREST);
    }
    CHECK_EQ(steps, 20);
    asi_coro_free(up);
    asi_coro_free(down);
}

static void note_rounding(void *argument)
{
    *(int *)argument = (int)get_rounding();
    back();
}

TEST(a_coro_begins_with_the_rounding_of_its_maker)
{
    int rounding = -1;
    struct asi_coro *coro = new_coro(SIZE);

    asi_coro_init_host(&host);
    set_rounding(UP);
    asi_coro_prepare(coro, note_rounding, &rounding);
    resume(coro);
    CHECK_EQ(rounding, UP);
    set_rounding(NEAREST);
    asi_coro_free(coro);
}

static void check_alignment(void *argument)
{
    _Alignas(16) char aligned[16];
    uintptr_t *at = argument;

    *at = (uintptr_t)aligned;
    /* i386 counts from before the return address and the saved register. */
    CHECK_EQ((uintptr_t)__builtin_frame_address(0) % 16, sizeof(void *) == 4 ? 8 : 0);
    back();
}

TEST(frames_are_aligned)
{
    uintptr_t at = 1;
    struct asi_coro *coro = new_coro(SIZE);

    asi_coro_init_host(&host);
    asi_coro_prepare(coro, check_alignment, &at);
    resume(coro);
    CHECK_EQ(at % 16, 0);
    asi_coro_free(coro);
}

/* --- many ------------------------------------------------------------------------------------- */

TEST(ten_thousand_coros_take_turns)
{
    int count = TEST_TSAN ? 500 : 10000, by = 1;
    struct asi_coro **coros = calloc((size_t)count, sizeof(struct asi_coro *));

    CHECK(coros != NULL);
    asi_coro_init_host(&host);
    for (int i = 0; i < count; i++) {
        coros[i] = new_coro(16 * KIB);
        asi_coro_prepare(coros[i], count_steps, &by);
    }
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < count; i++)
            resume(coros[i]);
    }
    CHECK_EQ(steps, 3 * count);
    for (int i = 0; i < count; i++)
        asi_coro_free(coros[i]);
    free(coros);
}

struct visit {
    struct asi_coro home;
    struct asi_coro *coro;
    long count;
};

static void count_visits(void *argument)
{
    struct visit *visit = argument;

    for (;;) {
        visit->count++;
        asi_coro_switch(visit->coro, &visit->home);
    }
}

static void visit_often(void *argument, int index)
{
    long rounds = *(long *)argument;

    (void)index;
    for (long round = 0; round < rounds; round++) {
        struct visit visit = {.coro = new_coro(SIZE)};
        asi_coro_init_host(&visit.home);
        asi_coro_prepare(visit.coro, count_visits, &visit);
        for (int i = 0; i < 5; i++)
            asi_coro_switch(&visit.home, visit.coro);
        CHECK_EQ(visit.count, 5);
        asi_coro_free(visit.coro);
    }
}

TEST(stress_threads_with_coros_share_the_stacks)
{
    long rounds = test_scaled(10000);

    test_together(4, visit_often, &rounds);
}
