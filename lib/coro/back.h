/* SPDX-License-Identifier: MIT */
/*
 * ASI_JUMPS_BACK: of a function that switches stacks, and whose caller is to go on at once.
 *
 * The processor predicts where a return goes by the last call.  Between two switches that was made
 * on another stack, so a return is predicted wrong, and costs more than all the rest of a switch (7
 * of 20 ns).  Where a jump goes is predicted by where it went before, and in a stream of items that
 * is right.  So such a function takes its return address from the stack and jumps there.  Calls and
 * returns are unpaired by that: of the next returns further out some are predicted wrong that would
 * not have been, once.
 *
 * The thunk that the compiler wants for it, by a name it gave, comes with each file that includes
 * this, and the linker keeps one.  It is weak, so that a program which has its own (against
 * speculation) keeps that one, for us too.  Link-time optimization may put the code of two files
 * into one, hence .ifndef, and the thunk into another file than its users, hence no local symbol.
 * It takes a register that the switch, in line in such a function, has declared lost.  Where there
 * is none (clang before 15, other processors, shadow stacks), it is an ordinary return.
 */
#ifndef ASI_CORO_BACK_H
#define ASI_CORO_BACK_H

#if defined(__x86_64__) && !defined(ASI_UCONTEXT) && defined(__has_attribute)
#if __has_attribute(function_return) && !(defined(__CET__) && (__CET__ & 2))
#define ASI_JUMPS_BACK __attribute__((function_return("thunk-extern")))

__asm__(".ifndef __x86_return_thunk\n"
        ".pushsection .text.asi_return_thunk, \"axG\", @progbits, asi_return_thunk, comdat\n"
        ".weak __x86_return_thunk\n"
        ".hidden __x86_return_thunk\n"
        ".type __x86_return_thunk, @function\n"
        ".p2align 4\n"
        "__x86_return_thunk:\n\t"
        ".cfi_startproc\n\t"
        "popq %rcx\n\t"
        ".cfi_def_cfa_offset 0\n\t"
        ".cfi_register rip, rcx\n\t"
        "notrack jmpq *%rcx\n\t"
        ".cfi_endproc\n"
        ".size __x86_return_thunk, . - __x86_return_thunk\n"
        ".popsection\n"
        ".endif");
#endif
#endif

#ifndef ASI_JUMPS_BACK
#define ASI_JUMPS_BACK
#endif

#endif
