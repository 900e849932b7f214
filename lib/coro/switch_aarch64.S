/* SPDX-License-Identifier: MIT */
/*
 * void asi_coro_swap(struct asi_coro *from (x0), struct asi_coro *to (x1))
 *
 * Keeps x19-x30, d8-d15 and the floating-point control register, as the procedure call standard asks of a
 * callee.  `sp` is the first member of the struct.
 *
 * What lies on a stack that does not run, from sp: x19 ... x30, d8 ... d15, fpcr.
 */
#if defined(__aarch64__) && !defined(ASI_UCONTEXT)
    .text
    .globl asi_coro_swap
    .hidden asi_coro_swap
    .type asi_coro_swap, %function
    .p2align 5
asi_coro_swap:
    .cfi_startproc
    sub sp, sp, #176
    .cfi_adjust_cfa_offset 176
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    .cfi_rel_offset x29, 80
    .cfi_rel_offset x30, 88
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mrs x9, fpcr
    str x9, [sp, #160]
    mov x10, sp
    str x10, [x0]
    ldr x10, [x1]
    mov sp, x10
    ldr x11, [sp, #160]
    cmp x9, x11
    b.eq 1f
    msr fpcr, x11
1:  ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #176
    .cfi_adjust_cfa_offset -176
    .cfi_restore x29
    .cfi_restore x30
    ret
    .cfi_endproc
    .size asi_coro_swap, . - asi_coro_swap

/* The first thing on a new stack: begin(coro), both left in registers by asi_coro_first. */
    .globl asi_coro_entry
    .hidden asi_coro_entry
    .type asi_coro_entry, %function
    .p2align 4
asi_coro_entry:
    .cfi_startproc
    .cfi_undefined x30
    mov x0, x19
    mov x29, xzr
    blr x20
    brk #0
    .cfi_endproc
    .size asi_coro_entry, . - asi_coro_entry
#endif

#if defined(__linux__) && defined(__ELF__)
    .section .note.GNU-stack, "", %progbits
#endif
