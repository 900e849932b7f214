/* SPDX-License-Identifier: MIT */
/*
 * The seam for atomics: every atomic access of the library goes through one of these, with its
 * order written out as relaxed, acquire, release, acq_rel or seq_cst.  Only lib/thread includes
 * it.  One place to change lets a virtual scheduler run the very same sources (-DASI_VIRTUAL
 * provides the same names from "virtual/atomic.h" on the include path), and another tells helgrind
 * what orders what.
 */
#ifndef ASI_THREAD_ATOMIC_H
#define ASI_THREAD_ATOMIC_H

#ifdef ASI_VIRTUAL
#include "virtual/atomic.h"
#else

#include <stdatomic.h>

#ifdef ASI_HELGRIND
#include "thread/helgrind.h"
#else
#define asi_told(object, order, access) access
#define asi_told_store(object, order, access) access
#define asi_told_cas(object, success, failure, access) access
#endif

#define asi_atomic(type) _Atomic(type)

#define asi_load(object, order)                                                                    \
    asi_told(object, order, atomic_load_explicit(object, memory_order_##order))
#define asi_store(object, value, order)                                                            \
    asi_told_store(object, order, atomic_store_explicit(object, value, memory_order_##order))
#define asi_exchange(object, value, order)                                                         \
    asi_told(object, order, atomic_exchange_explicit(object, value, memory_order_##order))
#define asi_add(object, value, order)                                                              \
    asi_told(object, order, atomic_fetch_add_explicit(object, value, memory_order_##order))
#define asi_sub(object, value, order)                                                              \
    asi_told(object, order, atomic_fetch_sub_explicit(object, value, memory_order_##order))
#define asi_or(object, value, order)                                                               \
    asi_told(object, order, atomic_fetch_or_explicit(object, value, memory_order_##order))
#define asi_and(object, value, order)                                                              \
    asi_told(object, order, atomic_fetch_and_explicit(object, value, memory_order_##order))
#define asi_cas_weak(object, expected, desired, success, failure)                                  \
    asi_told_cas(object, success, failure,                                                         \
            atomic_compare_exchange_weak_explicit(                                                 \
                    object, expected, desired, memory_order_##success, memory_order_##failure))
#define asi_cas_strong(object, expected, desired, success, failure)                                \
    asi_told_cas(object, success, failure,                                                         \
            atomic_compare_exchange_strong_explicit(                                               \
                    object, expected, desired, memory_order_##success, memory_order_##failure))

#endif

#ifndef ASI_VIRTUAL

/* Tell the processor that this is a loop that waits for another one. */
static inline void asi_spin_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__("isb" ::: "memory");
#endif
}

#endif

#endif
