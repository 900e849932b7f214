/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* pipe2() */
/*
 * Caught signals.  (What, and why that is right: caught.h.)
 *
 *   free --open--> wanted --close--> closed --give--> free
 *
 * Per signal it is counted how many places want it: each has the handler installed, if it is not,
 * and the last has restored what was there.
 */
#include "thread/caught.h"

#include "base/memory.h"
#include "thread/atomic.h"
#include "thread/fork.h"
#include "thread/lock.h"
#include "thread/once.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <unistd.h>

enum { PLACES = 32, SIGNALS = 64 };

struct place {
    asi_atomic(uint64_t) wants; /* 0: nothing */
    uint64_t set;               /* [lock] */
    int pipe[2];                /* [const] once made */
    pid_t process;              /* [const] once made: whose it is */
    bool made;                  /* [lock] it has a pipe */
    bool taken;                 /* [lock] */
};

static struct asi_lock lock = ASI_LOCK_INIT;
static struct place places[PLACES];
static struct {
    unsigned users;           /* [lock] */
    struct sigaction restore; /* [lock] what was there, while there are users */
} signals[SIGNALS + 1];

static uint64_t bit(int number)
{
    return (uint64_t)1 << (number - 1);
}

/* --- the handler ------------------------------------------------------------------------------ */

static void on_signal(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    struct asi_caught record = {.number = number, .code = info->si_code};

    (void)context;
    /* By a process.  (A timer has its own number in that place.) */
    if (info->si_code != SI_TIMER && (info->si_code <= 0 || number == SIGCHLD)) {
        record.process = (int32_t)info->si_pid;
        record.user = (int32_t)info->si_uid;
    }
    if (number == SIGCHLD)
        record.value = info->si_status;
    else if (info->si_code == SI_QUEUE)
        record.value = info->si_value.sival_int;
    for (int i = 0; i < PLACES; i++) {
        struct place *place = &places[i];
        uint64_t wants = asi_load(&place->wants, acquire); /* K1 */
        if ((wants & bit(number)) && place->process == getpid())
            (void)!write(place->pipe[1], &record, sizeof(record));
    }
    errno = saved;
}

static bool is_ours(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) && action->sa_sigaction == on_signal;
}

/* [lock] Also when there are users: somebody may have put another one in its place. */
static int install(int number)
{
    struct sigaction action = {
            .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
    struct sigaction before;

    sigfillset(&action.sa_mask);
    if (sigaction(number, &action, &before) != 0)
        return -errno;
    if (!is_ours(&before))
        signals[number].restore = before;
    signals[number].users++;
    return 0;
}

/* [lock] Unless somebody has put another one in its place. */
static void restore(int number)
{
    struct sigaction now;

    if (sigaction(number, NULL, &now) == 0 && is_ours(&now))
        (void)sigaction(number, &signals[number].restore, NULL);
}

/* [lock] */
static void release(uint64_t set)
{
    for (int number = 1; number <= SIGNALS; number++) {
        if ((set & bit(number)) && --signals[number].users == 0)
            restore(number);
    }
}

/* --- fork ------------------------------------------------------------------------------------- */

static void before_fork(void)
{
    asi_lock_take(&lock);
}

static void in_child(void)
{
    for (int number = 1; number <= SIGNALS; number++) {
        if (signals[number].users > 0)
            restore(number);
        signals[number].users = 0;
    }
    for (int i = 0; i < PLACES; i++) {
        asi_store(&places[i].wants, 0, relaxed); /* K3 */
        if (places[i].made) {
            close(places[i].pipe[0]);
            close(places[i].pipe[1]);
        }
        places[i].made = places[i].taken = false;
    }
}

static void after_fork(void)
{
    asi_lock_give(&lock);
}

static void prepare(void)
{
    static const struct asi_fork_part part = {before_fork, in_child, after_fork};

    asi_fork_add(&part);
}

/* --- places ----------------------------------------------------------------------------------- */

int asi_caught_check(int number)
{
    static const int never[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};

    for (size_t i = 0; i < sizeof(never) / sizeof(*never); i++) {
        if (number == never[i])
            return -EINVAL;
    }
    return number >= 1 && number <= SIGNALS ? 0 : -EINVAL;
}

/* [lock] Once in each process: a handler that is late for the place's last user reads this, too. */
static bool make_pipe(struct place *place)
{
    if (asi_fault("pipe") || pipe2(place->pipe, O_CLOEXEC | O_NONBLOCK) != 0)
        return false;
    place->process = getpid();
    place->made = true;
    return true;
}

/* [lock] A free place with a pipe, or NULL. */
static struct place *take_place(void)
{
    for (int i = 0; i < PLACES; i++) {
        struct place *place = &places[i];
        if (place->taken)
            continue;
        if (!place->made && !make_pipe(place))
            return NULL;
        place->taken = true;
        return place;
    }
    return NULL;
}

/* [lock] All signals of SET, or none. */
static int install_all(uint64_t set)
{
    uint64_t done = 0;

    for (int number = 1; number <= SIGNALS; number++) {
        if (!(set & bit(number)))
            continue;
        int error = install(number);
        if (error) {
            release(done);
            return error;
        }
        done |= bit(number);
    }
    return 0;
}

int asi_caught_open(uint64_t set)
{
    static struct asi_once once = ASI_ONCE_INIT;
    int error = -EMFILE;

    asi_once_run(&once, prepare);
    asi_lock_take(&lock);
    struct place *place = take_place();
    if (place) {
        place->set = set;
        asi_store(&place->wants, set, release); /* K2 */
        error = install_all(set);
        if (error) {
            asi_store(&place->wants, 0, relaxed); /* K3 */
            place->taken = false;
        }
    }
    asi_lock_give(&lock);
    return error ? error : (int)(place - places);
}

void asi_caught_close(int index)
{
    struct place *place = &places[index];

    asi_lock_take(&lock);
    release(place->set); /* before: what comes is told until it is somebody else's */
    asi_store(&place->wants, 0, relaxed); /* K3 */
    asi_lock_give(&lock);
}

/* Drop what is in PLACE's pipe, at most COUNT records. */
static void drain(struct place *place, int count)
{
    struct asi_caught record;

    while (count-- > 0 && read(place->pipe[0], &record, sizeof(record)) > 0)
        ;
}

void asi_caught_give(int index)
{
    drain(&places[index], 1 << 20);
    asi_lock_take(&lock);
    places[index].taken = false;
    asi_lock_give(&lock);
}

int asi_caught_read_end(int index)
{
    return places[index].pipe[0];
}

void asi_caught_put(int index, const struct asi_caught *record)
{
    while (write(places[index].pipe[1], record, sizeof(*record)) < 0 && errno == EAGAIN)
        drain(&places[index], 1);
}
