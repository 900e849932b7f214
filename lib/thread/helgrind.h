/* SPDX-License-Identifier: MIT */
/*
 * What helgrind is told in a build for it (make SAN=helgrind).  It knows locks but no atomics: so a
 * word that is accessed by them is never a race, and a release happens before each acquire of the
 * same word that comes after it.  It takes every such acquire for one that saw the release, so a
 * wrong order hides from it; those are for the virtual schedule and the thread sanitizer.
 */
#ifndef ASI_THREAD_HELGRIND_H
#define ASI_THREAD_HELGRIND_H

#include <valgrind/helgrind.h>

#define asi_tell_word(object) VALGRIND_HG_DISABLE_CHECKING(object, sizeof(*(object)))
#define asi_tell_before_relaxed(object) ((void)0)
#define asi_tell_before_acquire(object) ((void)0)
#define asi_tell_before_release(object) ANNOTATE_HAPPENS_BEFORE(object)
#define asi_tell_before_acq_rel(object) ANNOTATE_HAPPENS_BEFORE(object)
#define asi_tell_before_seq_cst(object) ANNOTATE_HAPPENS_BEFORE(object)
#define asi_tell_after_relaxed(object) ((void)0)
#define asi_tell_after_acquire(object) ANNOTATE_HAPPENS_AFTER(object)
#define asi_tell_after_release(object) ((void)0)
#define asi_tell_after_acq_rel(object) ANNOTATE_HAPPENS_AFTER(object)
#define asi_tell_after_seq_cst(object) ANNOTATE_HAPPENS_AFTER(object)

/* What ACCESS gives, an access of OBJECT in that order. */
#define asi_told_cas(object, success, failure, access)                                             \
    __extension__({                                                                                \
        asi_tell_word(object);                                                                     \
        asi_tell_before_##success(object);                                                         \
        __auto_type asi_seen = (access);                                                           \
        asi_tell_after_##success(object);                                                          \
        asi_tell_after_##failure(object);                                                          \
        asi_seen;                                                                                  \
    })
#define asi_told(object, order, access) asi_told_cas(object, order, relaxed, access)
#define asi_told_store(object, order, access)                                                      \
    do {                                                                                           \
        asi_tell_word(object);                                                                     \
        asi_tell_before_##order(object);                                                           \
        access;                                                                                    \
    } while (0)

#endif
