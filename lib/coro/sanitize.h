/* SPDX-License-Identifier: MIT */
/*
 * What the checking tools must be told when a thread changes its stack.  Without these calls they
 * are blind or lie; without the tools they compile to nothing (valgrind's are a few idle
 * instructions).
 */
#ifndef ASI_CORO_SANITIZE_H
#define ASI_CORO_SANITIZE_H

#if defined(__SANITIZE_ADDRESS__)
#define ASI_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ASI_ASAN 1
#endif
#endif

#if defined(__SANITIZE_THREAD__)
#define ASI_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ASI_TSAN 1
#endif
#endif

#ifdef ASI_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#endif

#ifdef ASI_TSAN
#include <sanitizer/tsan_interface.h>
#endif

/*
 * Of a function that waits with memory of its own: its frame is on the coroutine's stack proper,
 * and not on the address sanitizer's second one.  An abandoned task's stack stays for good, and
 * what it holds is no leak; the leak checker sees that only on the first.
 */
#ifdef ASI_ASAN
#define ASI_REAL_FRAME __attribute__((no_sanitize("address"), noinline))
#else
#define ASI_REAL_FRAME
#endif

#if defined(__has_include) && !defined(ASI_ASAN) && !defined(ASI_TSAN)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#define ASI_VALGRIND 1
#endif
#endif

#endif
