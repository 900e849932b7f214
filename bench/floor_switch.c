/* SPDX-License-Identifier: MIT */
/*
 * The floor of coroutines: see floor.h.
 *
 * The switch saves what a called function must keep, and goes on with an indirect jump: a `ret`
 * would be predicted to return to the caller of this stack, and is not.  It leaves the
 * floating-point state as it is.  x86-64 only; elsewhere the table shows no floor.
 */
#include "floor.h"

#ifdef FLOOR_HAS_SWITCH

#include "bench.h"

#include <stdlib.h>

#define STACK_SIZE 16384

__asm__(".text\n"
        ".p2align 4\n"
        ".globl floor_switch\n"
        ".type floor_switch, @function\n"
        "floor_switch:\n"
        "    popq %rdx\n" /* where this stack goes on */
        "    pushq %rbx\n"
        "    pushq %rbp\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    pushq %rdx\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %rdx\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbp\n"
        "    popq %rbx\n"
        "    jmpq *%rdx\n"
        ".size floor_switch, . - floor_switch\n");

void *floor_stack(void *stack, size_t size, void (*entry)(void))
{
    uintptr_t top = ((uintptr_t)stack + size) & ~(uintptr_t)15;
    uintptr_t *frame = (uintptr_t *)top - 8; /* entry, 6 registers, no return address */

    for (int i = 0; i < 8; i++)
        frame[i] = 0;
    frame[0] = (uintptr_t)entry;
    return frame;
}

struct coro {
    void *top;
    struct coro *next; /* in the ready list, or in the list of free stacks */
};

static struct coro home; /* the thread's own stack */
static struct coro *first, **last;
static struct coro *running;
static struct coro *unused; /* with stacks */
static int64_t left;
static void (*body)(void);

static void nothing(void)
{
}

/* --- a switch --------------------------------------------------------------------------------- */

static struct coro mate;

static void mate_main(void)
{
    for (;;)
        floor_switch(&mate.top, home.top);
}

int64_t floor_switches(int64_t count)
{
    static _Alignas(16) char stack[STACK_SIZE];
    int64_t start;

    mate.top = floor_stack(stack, sizeof(stack), mate_main);
    start = bench_now_ns();
    for (int64_t i = 0; i < count; i += 2) /* there and back */
        floor_switch(&home.top, mate.top);
    return bench_now_ns() - start;
}

/* --- a yield ---------------------------------------------------------------------------------- */

static void yield(void)
{
    struct coro *self = running;
    struct coro *next = first;

    *last = self;
    last = &self->next;
    first = next->next;
    running = next;
    floor_switch(&self->top, next->top);
}

static void yielder_main(void)
{
    for (;;) {
        if (left-- <= 0)
            floor_switch(&running->top, home.top);
        yield();
    }
}

int64_t floor_yields(int64_t count)
{
    static _Alignas(16) char stacks[2][STACK_SIZE];
    struct coro pair[2];
    int64_t start;

    for (int i = 0; i < 2; i++)
        pair[i].top = floor_stack(stacks[i], STACK_SIZE, yielder_main);
    first = &pair[1];
    last = &pair[1].next;
    running = &pair[0];
    left = count;
    start = bench_now_ns();
    floor_switch(&home.top, pair[0].top);
    return bench_now_ns() - start;
}

/* --- a child ---------------------------------------------------------------------------------- */

static void child_main(void)
{
    struct coro *self = running;
    void *ended;

    body();
    self->next = unused;
    unused = self;
    floor_switch(&ended, home.top);
    abort();
}

int64_t floor_awaits(int64_t count)
{
    static _Alignas(16) char stack[STACK_SIZE];
    static struct coro child;
    int64_t start;

    body = nothing;
    __asm__ __volatile__("" : "+m"(body)); /* the compiler must not know it */
    child.next = NULL;
    unused = &child;
    start = bench_now_ns();
    for (int64_t i = 0; i < count; i++) {
        running = unused;
        unused = running->next;
        running->top = floor_stack(stack, sizeof(stack), child_main);
        floor_switch(&home.top, running->top);
    }
    return bench_now_ns() - start;
}

#endif
