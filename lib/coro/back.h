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
 * The thunk that the compiler wants for it is in switch_x86_64.S, and takes a register that the
 * switch, in line in such a function, has declared lost.  Where there is none, it is an ordinary
 * return.
 */
#ifndef ASI_CORO_BACK_H
#define ASI_CORO_BACK_H

#if defined(__x86_64__) && !defined(ASI_UCONTEXT) && defined(__has_attribute)
#if __has_attribute(function_return) && !(defined(__CET__) && (__CET__ & 2))
#define ASI_JUMPS_BACK __attribute__((function_return("thunk-extern")))
#endif
#endif

#ifndef ASI_JUMPS_BACK
#define ASI_JUMPS_BACK
#endif

#endif
