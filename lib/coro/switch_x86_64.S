/* SPDX-License-Identifier: MIT */
/*
 * asi_coro_entry: the first thing on a new stack.  asi_coro_first left there what it is to call:
 *
 *      rsp ->  coro, begin
 *
 * begin(coro) never returns.  The unwinder is told that nobody called: backtraces end here.  Valgrind
 * does not heed that, and finds a return address of 0, which it heeds.
 */
#if defined(__x86_64__) && !defined(ASI_UCONTEXT)
    .text
    .globl asi_coro_entry
    .hidden asi_coro_entry
    .type asi_coro_entry, @function
    .p2align 4
asi_coro_entry:
    .cfi_startproc
    .cfi_undefined rip
#if defined(__CET__)
    endbr64
#endif
    popq %rdi
    popq %rax
    xorl %ebp, %ebp
    pushq $0
    pushq $0 /* the other one keeps rsp a multiple of 16 */
    callq *%rax
    ud2
    .cfi_endproc
    .size asi_coro_entry, . - asi_coro_entry
#endif

#if defined(__linux__) && defined(__ELF__)
    .section .note.GNU-stack, "", %progbits
#endif
