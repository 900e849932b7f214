/* SPDX-License-Identifier: MIT */
/*
 * asi_coro_swap: store where FROM goes on, and go on in TO.  Only coro.h uses it.
 *
 * On x86-64 it is inline, and no call and no return is part of it: the processor predicts returns
 * by the calls before them, and a switch that returns on another stack than it was called on makes
 * it wrong twice. Inline, each stack's calls and returns stay paired, and the jump at the end is
 * predicted by where it went before.  The compiler saves the registers that are in use, because
 * all are declared lost.
 *
 * FLOATING POINT  Rounding mode and exception masks belong to each coroutine.  They stand in two
 *   registers, the x87 control word and mxcsr, and fesetround() and feenableexcept() write both.
 *   Reading mxcsr alone takes longer than all the rest of a switch (5 ns of 7.5), so the control
 *   word is looked at, and only if the two sides differ mxcsr gets the same settings.  What mxcsr
 *   alone has (flush to zero, denormals are zero) belongs to the thread.
 *
 * What lies on a stack that does not run:
 *
 *      sp ->  room for mxcsr (4), x87 control word (2), unused (2)
 *      +8     rbp
 *      +16    where to go on
 *      +24    128 bytes that the function below may have in use without having moved rsp (the red
 *      zone)
 */
#ifndef ASI_CORO_SWAP_H
#define ASI_CORO_SWAP_H

struct asi_coro;

#if !defined(ASI_UCONTEXT) && !defined(__x86_64__) && !defined(__aarch64__)
#define ASI_UCONTEXT
#endif

#if defined(__x86_64__) && !defined(ASI_UCONTEXT)

static inline __attribute__((always_inline)) void asi_coro_swap_sp(void **save, void *const *load)
{
    __asm__ __volatile__("leaq -128(%%rsp), %%rsp\n\t"
                         "leaq 1f(%%rip), %%rax\n\t"
                         "pushq %%rax\n\t"
                         "pushq %%rbp\n\t"
                         "subq $8, %%rsp\n\t"
                         "fnstcw 4(%%rsp)\n\t"
                         "movzwl 4(%%rsp), %%ecx\n\t"
                         "movq %%rsp, (%%rdi)\n\t"
                         "movq (%%rsi), %%rsp\n\t"
                         "cmpw %%cx, 4(%%rsp)\n\t"
                         "je 3f\n\t"
                         "fldcw 4(%%rsp)\n\t"
                         "movzwl 4(%%rsp), %%ecx\n\t"
                         "stmxcsr (%%rsp)\n\t"
                         "movl (%%rsp), %%eax\n\t"
                         "andl $0xffff807f, %%eax\n\t" /* all but rounding and masks */
                         "movl %%ecx, %%edx\n\t"
                         "andl $0x3f, %%edx\n\t" /* masks: bits 0-5 there, 7-12 here */
                         "shll $7, %%edx\n\t"
                         "orl %%edx, %%eax\n\t"
                         "andl $0xc00, %%ecx\n\t" /* rounding: bits 10-11 there, 13-14 here */
                         "shll $3, %%ecx\n\t"
                         "orl %%ecx, %%eax\n\t"
                         "movl %%eax, (%%rsp)\n\t"
                         "ldmxcsr (%%rsp)\n"
                         "3:\taddq $8, %%rsp\n\t"
                         "popq %%rbp\n\t"
                         "popq %%rax\n\t"
                         "jmpq *%%rax\n"
                         "1:\n\t"
#if defined(__CET__)
                         "endbr64\n\t"
#endif
                         "leaq 128(%%rsp), %%rsp"
                         : "+D"(save), "+S"(load)
                         :
                         : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13",
                         "r14", "r15", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
                         "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
                         "xmm15", "mm0", "mm1", "mm2", "mm3", "mm4", "mm5", "mm6", "mm7", "st",
                         "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)", "cc",
#if defined(__AVX512F__)
                         "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23",
                         "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31",
                         "k1", "k2", "k3", "k4", "k5", "k6", "k7",
#endif
                         "memory");
}

#define asi_coro_swap(from, to) asi_coro_swap_sp(&(from)->sp, &(to)->sp)

#else

/* switch_aarch64.S, first.c */
void asi_coro_swap(struct asi_coro *from, struct asi_coro *to);

#endif

#endif
