/* SPDX-License-Identifier: MIT */
/*
 * Checking tools.  (What is asked of them: tools.h.)
 *
 * VALGRIND translates the program's instructions, and takes four rotations of a register that are
 * none in sum, followed by an exchange of a register with itself, for a question to itself.
 *
 * SANITIZERS are known by a function that only their runtime has.  Its name is bound when the
 * program is loaded, so the answers never change.
 */
#include "base/tools.h"

#include "base/say.h"

#include <stdint.h>

/* --- valgrind --------------------------------------------------------------------------------- */

enum {
    RUNNING = 0x1001,
    ADD_STACK = 0x1501,
    REMOVE_STACK = 0x1502,
    MAKE_UNDEFINED = 'M' << 24 | 'C' << 16 | 1 /* memcheck's */
};

/* Ask valgrind for WHAT; elsewhere this does nothing, and answers 0. */
static uintptr_t ask(uintptr_t what, uintptr_t first, uintptr_t second)
{
    uintptr_t answer = 0;
#if defined(__x86_64__) || defined(__aarch64__)
    uintptr_t question[6] = {what, first, second, 0, 0, 0};
#endif
#if defined(__x86_64__)
    __asm__ __volatile__("rolq $3, %%rdi\n\t"
                         "rolq $13, %%rdi\n\t"
                         "rolq $61, %%rdi\n\t"
                         "rolq $51, %%rdi\n\t"
                         "xchgq %%rbx, %%rbx"
                         : "+d"(answer)
                         : "a"(question)
                         : "cc", "memory");
#elif defined(__aarch64__)
    register uintptr_t x3 __asm__("x3") = 0;
    register uintptr_t *x4 __asm__("x4") = question;
    __asm__ __volatile__("ror x12, x12, #3\n\t"
                         "ror x12, x12, #13\n\t"
                         "ror x12, x12, #51\n\t"
                         "ror x12, x12, #61\n\t"
                         "orr x10, x10, x10"
                         : "+r"(x3)
                         : "r"(x4)
                         : "cc", "memory");
    answer = x3;
#else
    (void)what;
    (void)first;
    (void)second;
#endif
    return answer;
}

bool asi_tools_valgrind(void)
{
    return ask(RUNNING, 0, 0) != 0;
}

unsigned asi_tools_add_stack(const void *low, const void *high)
{
    return (unsigned)ask(ADD_STACK, (uintptr_t)low, (uintptr_t)high);
}

void asi_tools_remove_stack(unsigned stack)
{
    ask(REMOVE_STACK, stack, 0);
}

void asi_tools_forget(const void *low, size_t size)
{
    ask(MAKE_UNDEFINED, (uintptr_t)low, size);
}

/* --- sanitizers ------------------------------------------------------------------------------- */

#if ASI_TOOLS
/* One function of each runtime, by which it is known. */
void asi_leak_check(void) ASI_TOOL("__lsan_do_leak_check");
void asi_thread_runtime(void) ASI_TOOL("__tsan_init");
void asi_memory_runtime(void) ASI_TOOL("__msan_init");
#endif

bool asi_tools_follow_memory(void)
{
#if ASI_TOOLS
    return asi_leak_check || asi_tools_valgrind();
#else
    return asi_tools_valgrind();
#endif
}

void asi_tools_check_build(void)
{
#if ASI_TOOLS && !defined(ASI_TSAN) && !defined(ASI_MSAN)
    const char *which = asi_thread_runtime ? "thread" : asi_memory_runtime ? "memory" : NULL;
    struct asi_say say = {.length = 0};

    if (!which)
        return;
    asi_say_text(&say, "anysync: this program is built with -fsanitize=");
    asi_say_text(&say, which);
    asi_say_text(&say, " and libanysync without it: do not believe its reports, and link a library "
                       "built with make CC=clang SAN=");
    asi_say_text(&say, which);
    asi_say_text(&say, "\n");
    asi_say_out(&say);
#endif
}
