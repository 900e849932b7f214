/* SPDX-License-Identifier: MIT */
#include "sched/turn.h"

#include <errno.h>

struct asi_turn *asi_turn_first_slowly(struct asi_list *list)
{
    while (!asi_list_is_empty(list)) {
        struct asi_turn *turn = asi_container_of(list->next, struct asi_turn, list);
        struct asi_turn *sleeper = turn->choice ? &turn->choice->sleeper : turn;
        /* If it was decided, another of its turns was served. */
        if (asi_turn_is_gone(sleeper) || (turn->choice && asi_flag_raise(&turn->choice->decided))) {
            asi_turn_take(turn, -ECANCELED);
        } else {
            if (turn->choice)
                turn->choice->served = turn;
            return turn;
        }
    }
    return NULL;
}

static void deliver_letter(struct asi_letter *letter, void *receiver)
{
    struct asi_turn *turn = asi_container_of(letter, struct asi_turn, letter);

    (void)receiver;
    turn->woken = true;
    asi_task_wake(turn->task);
}

void asi_turn_send(struct asi_turn *turn)
{
    turn->letter.deliver = deliver_letter;
    asi_scheduler_post(turn->task->scheduler, &turn->letter); /* refused: it was abandoned */
}

void asi_turn_take_all(struct asi_list *list, struct asi_list *chain, int status)
{
    struct asi_turn *turn;

    while ((turn = asi_turn_first(list))) {
        asi_turn_take(turn, status);
        asi_list_add(chain, &turn->list);
    }
}

void asi_turn_deliver_all(struct asi_list *chain)
{
    while (!asi_list_is_empty(chain)) {
        struct asi_turn *turn = asi_container_of(chain->next, struct asi_turn, list);
        asi_list_remove(&turn->list); /* before it may go */
        asi_turn_deliver(turn);
    }
}

int asi_turn_may_wait(anysync_time deadline)
{
    int error = asi_world() == ASI_WORLD_TASK ? asi_wait_checkpoint() : 0;

    if (error)
        return error;
    if (deadline == ANYSYNC_POLL)
        return -ETIMEDOUT;
    return asi_world() == ASI_WORLD_CALLBACK ? -EDEADLK : 0;
}

int asi_turn_sleep(struct asi_turn *turn, anysync_time deadline, bool cancellable)
{
    struct anysync_task *task = turn->task;

    if (!task)
        return asi_party_wait(&turn->party, 0, deadline, cancellable);
    if (turn->woken)
        return 0;
    if (cancellable)
        return asi_wait_local(&turn->woken, deadline);
    while (!turn->woken) {
        task->cancellable = false;
        asi_scheduler_suspend(task->scheduler);
    }
    return 0;
}
