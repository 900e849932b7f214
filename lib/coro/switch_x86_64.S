/* SPDX-License-Identifier: MIT */
/*
 * void asi_coro_swap(struct asi_coro *from (rdi), struct asi_coro *to (rsi))
 *
 * Keeps rbx, rbp, r12-r15, mxcsr and the x87 control word, as the System V convention asks of a callee.
 * `sp` is the first member of the struct.  The control words are loaded only if the two sides differ:
 * loading them costs more than the rest of the switch.
 *
 * What lies on a stack that does not run:
 *
 *      sp ->  mxcsr (4), x87 control (2), unused (2)
 *      +8     r15  r14  r13  r12  rbx  rbp
 *      +56    return address
 */
#if defined(__x86_64__) && !defined(ASI_UCONTEXT)
#if defined(__CET__)
#define LANDING endbr64
#else
#define LANDING
#endif

    .text
    .globl asi_coro_swap
    .hidden asi_coro_swap
    .type asi_coro_swap, @function
    .p2align 5
asi_coro_swap:
    .cfi_startproc
    LANDING
    pushq %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset rbp, 0
    pushq %rbx
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset rbx, 0
    pushq %r12
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r12, 0
    pushq %r13
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r13, 0
    pushq %r14
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r14, 0
    pushq %r15
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r15, 0
    subq $8, %rsp
    .cfi_adjust_cfa_offset 8
    stmxcsr (%rsp)
    fnstcw 4(%rsp)
    movl (%rsp), %eax
    movzwl 4(%rsp), %ecx
    movq %rsp, (%rdi)
    movq (%rsi), %rsp
    cmpl %eax, (%rsp)
    jne 1f
    cmpw %cx, 4(%rsp)
    jne 1f
    .cfi_remember_state
2:  addq $8, %rsp
    .cfi_adjust_cfa_offset -8
    popq %r15
    .cfi_adjust_cfa_offset -8
    .cfi_restore r15
    popq %r14
    .cfi_adjust_cfa_offset -8
    .cfi_restore r14
    popq %r13
    .cfi_adjust_cfa_offset -8
    .cfi_restore r13
    popq %r12
    .cfi_adjust_cfa_offset -8
    .cfi_restore r12
    popq %rbx
    .cfi_adjust_cfa_offset -8
    .cfi_restore rbx
    popq %rbp
    .cfi_adjust_cfa_offset -8
    .cfi_restore rbp
    ret
    .cfi_restore_state
1:  ldmxcsr (%rsp)
    fldcw 4(%rsp)
    jmp 2b
    .cfi_endproc
    .size asi_coro_swap, . - asi_coro_swap

/* The first thing on a new stack: begin(coro), both left in registers by asi_coro_first. */
    .globl asi_coro_entry
    .hidden asi_coro_entry
    .type asi_coro_entry, @function
    .p2align 4
asi_coro_entry:
    .cfi_startproc
    .cfi_undefined rip
    LANDING
    movq %r12, %rdi
    xorl %ebp, %ebp
    callq *%r13
    ud2
    .cfi_endproc
    .size asi_coro_entry, . - asi_coro_entry
#endif

#if defined(__linux__) && defined(__ELF__)
    .section .note.GNU-stack, "", %progbits
#endif
