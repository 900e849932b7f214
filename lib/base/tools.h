/* SPDX-License-Identifier: MIT */
/*
 * The checking tools that a program may run under though this library was built without them:
 * valgrind, and the sanitizers whose runtime the program carries.
 *
 * Valgrind is spoken to by an idle sequence of instructions that it knows, a sanitizer by weak
 * references that are NULL where there is none.  So the one plain library tells them what it knows,
 * and their reports are true (docs/tools.md); without them none of it costs anything that can be
 * measured.
 */
#ifndef ASI_BASE_TOOLS_H
#define ASI_BASE_TOOLS_H

#include <stdbool.h>
#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define ASI_ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define ASI_TSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ASI_ASAN 1
#elif __has_feature(thread_sanitizer)
#define ASI_TSAN 1
#elif __has_feature(memory_sanitizer)
#define ASI_MSAN 1
#endif
#endif

/* A function of a sanitizer by its name there; NULL in a process without that one. */
#if defined(__ELF__) && !defined(ASI_VIRTUAL)
#define ASI_TOOL(name) __asm__(name) __attribute__((weak))
#define ASI_TOOLS 1
#else
#define ASI_TOOLS 0
#endif

/* Whether a tool follows each piece of memory from malloc to free: then none may be recycled.
 * The answer is the same all the time. */
bool asi_tools_follow_memory(void);

/* Whether this process is run by valgrind. */
bool asi_tools_valgrind(void);

/* [LOW, HIGH) is a stack from now on, and no longer.  Returns what _remove asks for. */
unsigned asi_tools_add_stack(const void *low, const void *high);
void asi_tools_remove_stack(unsigned stack);

/* What is in these SIZE bytes means nothing any more. */
void asi_tools_forget(const void *low, size_t size);

/* Say so, once, if the program's sanitizer lies about a library that was built without it. */
void asi_tools_check_build(void);

#endif
