/* SPDX-License-Identifier: MIT */
/*
 * asi_race_point: a place where a thread may be held up at the worst moment.  Nothing in a normal
 * build; with -DASI_RACE (make test RACE=1) it sometimes yields or spins a little, so that the
 * stress tests meet orders of events that are rare otherwise.
 */
#ifndef ASI_BASE_RACE_H
#define ASI_BASE_RACE_H

#ifdef ASI_RACE
void asi_race_point(void);
#else
#define asi_race_point() ((void)0)
#endif

#endif
