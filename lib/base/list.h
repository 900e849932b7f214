/* SPDX-License-Identifier: MIT */
/* An intrusive doubly linked list with a head, and container_of.  No allocation, no locks. */
#ifndef ASI_BASE_LIST_H
#define ASI_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#define asi_container_of(pointer, type, member)                                                    \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

struct asi_list {
    struct asi_list *next; /* a head points to itself when empty; so does a node in no list */
    struct asi_list *previous;
};

static inline void asi_list_init(struct asi_list *list)
{
    list->next = list;
    list->previous = list;
}

static inline bool asi_list_is_empty(const struct asi_list *list)
{
    return list->next == list;
}

static inline void asi_list_add(struct asi_list *head, struct asi_list *node)
{
    node->previous = head->previous;
    node->next = head;
    head->previous->next = node;
    head->previous = node;
}

/* Take NODE out of the list it is in, and leave it as it is: it is added to one before it is looked
 * at again. */
static inline void asi_list_unlink(struct asi_list *node)
{
    node->previous->next = node->next;
    node->next->previous = node->previous;
}

/* Take NODE out of its list; it may be in none. */
static inline void asi_list_remove(struct asi_list *node)
{
    node->previous->next = node->next;
    node->next->previous = node->previous;
    asi_list_init(node);
}

#endif
