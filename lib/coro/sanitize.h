/* SPDX-License-Identifier: MIT */
/*
 * What the checking tools must be told when a thread changes its stack.  Without these calls they
 * are blind or lie.  The address and leak sanitizers' are weak references, so that a program may
 * have one of them whether or not this library was built with it (base/tools.h).
 */
#ifndef ASI_CORO_SANITIZE_H
#define ASI_CORO_SANITIZE_H

#include "base/assert.h"
#include "base/tools.h"

#ifdef ASI_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#if ASI_TOOLS
void asi_asan_start_switch(void **fake_stack_save, const void *low, size_t size)
        ASI_TOOL("__sanitizer_start_switch_fiber");
void asi_asan_finish_switch(void *fake_stack, const void **ret_low, size_t *ret_size)
        ASI_TOOL("__sanitizer_finish_switch_fiber");
void asi_asan_unpoison(const void *low, size_t size) ASI_TOOL("__asan_unpoison_memory_region");
void asi_lsan_add_root(const void *low, size_t size) ASI_TOOL("__lsan_register_root_region");
void asi_lsan_remove_root(const void *low, size_t size) ASI_TOOL("__lsan_unregister_root_region");
#define ASI_HAS_ASAN (asi_asan_start_switch != NULL)
#define ASI_HAS_LSAN (asi_lsan_add_root != NULL)
#else
#define ASI_HAS_ASAN false
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

#endif
