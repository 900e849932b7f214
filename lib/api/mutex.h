/* SPDX-License-Identifier: MIT */
/* Mutexes: what a condition needs of them. */
#ifndef ASI_API_MUTEX_H
#define ASI_API_MUTEX_H

#include <anysync/mutex.h>

#include <stdbool.h>

/* 0, or -EOWNERDEAD, noted: MUTEX is not of this process. */
int asi_mutex_check(const struct anysync_mutex *mutex);

/* Whether the caller holds MUTEX. */
bool asi_mutex_is_mine(struct anysync_mutex *mutex);

/* Lock MUTEX whatever happens meanwhile: 0, or -ENOTRECOVERABLE, noted. */
int asi_mutex_lock_again(struct anysync_mutex *mutex);

#endif
