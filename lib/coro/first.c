/* SPDX-License-Identifier: MIT */
/*
 * The first frame of a new stack, laid out the way the processor's asi_coro_swap expects to find a
 * stack that does not run (switch_*.S); or, on other processors, the whole switch by way of
 * ucontext.
 */
#include "coro/coro.h"

#include "base/assert.h"

#include <stdint.h>
#include <string.h>

void asi_coro_first(struct asi_coro *coro, void (*begin)(struct asi_coro *coro));
void asi_coro_entry(void);

_Static_assert(offsetof(struct asi_coro, sp) == 0, "the switch stores the stack pointer there");

#if defined(ASI_UCONTEXT)

/* makecontext passes ints only: a pointer travels in two. */
static void start(unsigned high, unsigned low, unsigned begin_high, unsigned begin_low)
{
    uintptr_t coro = ((uintptr_t)high << 16 << 16) | low;
    uintptr_t begin = ((uintptr_t)begin_high << 16 << 16) | begin_low;

    ((void (*)(struct asi_coro *))begin)((struct asi_coro *)coro);
}

void asi_coro_first(struct asi_coro *coro, void (*begin)(struct asi_coro *coro))
{
    int error = getcontext(&coro->context);

    ASI_ASSERT(error == 0, "getcontext failed");
    coro->context.uc_stack.ss_sp = coro->low;
    coro->context.uc_stack.ss_size = coro->size;
    coro->context.uc_link = NULL;
    makecontext(&coro->context, (void (*)(void))start, 4, (unsigned)((uintptr_t)coro >> 16 >> 16),
            (unsigned)(uintptr_t)coro, (unsigned)((uintptr_t)begin >> 16 >> 16),
            (unsigned)(uintptr_t)begin);
}

void asi_coro_swap(struct asi_coro *from, struct asi_coro *to)
{
    int error = swapcontext(&from->context, &to->context);

    ASI_ASSERT(error == 0, "swapcontext failed");
}

#elif defined(__x86_64__)

struct frame {
    uint32_t room;
    uint16_t x87;
    uint16_t unused;
    uintptr_t rbp, go_on;
    uintptr_t coro, begin; /* for asi_coro_entry */
};

_Static_assert(sizeof(struct frame) % 16 == 8, "with both popped, rsp has to be a multiple of 16");

void asi_coro_first(struct asi_coro *coro, void (*begin)(struct asi_coro *coro))
{
    uintptr_t top = ((uintptr_t)coro->low + coro->size) & ~(uintptr_t)15;
    struct frame *frame = (struct frame *)(top - sizeof(struct frame));

    memset(frame, 0, sizeof(*frame));
    __asm__("fnstcw %0" : "=m"(frame->x87)); /* begin with the settings of who starts it */
    frame->go_on = (uintptr_t)asi_coro_entry;
    frame->coro = (uintptr_t)coro;
    frame->begin = (uintptr_t)begin;
    coro->sp = frame;
}

#elif defined(__aarch64__)

struct frame {
    uintptr_t x19, x20, x21_to_x29[9], x30;
    uint64_t d8_to_d15[8];
    uint64_t fpcr;
    uint64_t unused;
};

void asi_coro_first(struct asi_coro *coro, void (*begin)(struct asi_coro *coro))
{
    uintptr_t top = ((uintptr_t)coro->low + coro->size) & ~(uintptr_t)15;
    struct frame *frame = (struct frame *)(top - sizeof(struct frame));

    memset(frame, 0, sizeof(*frame));
    __asm__("mrs %0, fpcr" : "=r"(frame->fpcr)); /* begin with the settings of who starts it */
    frame->x19 = (uintptr_t)coro;
    frame->x20 = (uintptr_t)begin;
    frame->x30 = (uintptr_t)asi_coro_entry;
    coro->sp = frame;
}

#endif
