/* SPDX-License-Identifier: MIT */
/*
 * Runs: one use of the library in a process of its own, forked before anything touched the library,
 * with a limit on its time; and what became of it, in memory that parent and child share.
 */
#ifndef TEST_RELIABILITY_RUNS_H
#define TEST_RELIABILITY_RUNS_H

#include "uses_objects.h"

#include <dirent.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/* What the child tells. */
struct told {
    int count;  /* requests to the system while doors were looked at */
    int struck; /* of these were refused */
    atomic_int by_door[DOORS];
    int code;     /* what the use returned */
    int fds;      /* open at the end, but for doorbells: loops at rest keep theirs */
    bool reached; /* the end, all that was to be checked being so */
};

/* How a run ended. */
struct run {
    struct told told;
    bool well;
    bool hung;
    char why[400]; /* what it wrote, or how it ended */
};

static struct told *told; /* shared */

static inline int open_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;

    CHECK(folder != NULL);
    for (struct dirent *entry; (entry = readdir(folder));) {
        char kind[64];
        ssize_t length = readlinkat(dirfd(folder), entry->d_name, kind, sizeof(kind) - 1);
        kind[length > 0 ? length : 0] = '\0';
        count += length > 0 && strcmp(kind, "anon_inode:[eventfd]") != 0;
    }
    closedir(folder);
    return count;
}

static inline void run_prepare(void)
{
    if (!told) {
        void *memory = mmap(
                NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        CHECK(memory != MAP_FAILED);
        told = memory;
    }
}

/* Whether PID ends within LIMIT_MS; reaps it. */
static bool run_ends(pid_t pid, int limit_ms, int *ret_status)
{
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd pollfd = {.fd = pidfd, .events = POLLIN};
    bool in_time = pidfd < 0 || poll(&pollfd, 1, limit_ms) == 1;

    if (!in_time)
        kill(pid, SIGKILL);
    if (pidfd >= 0)
        close(pidfd);
    while (waitpid(pid, ret_status, 0) < 0 && errno == EINTR)
        ;
    return in_time;
}

static void run_explain(struct run *run, FILE *errors, int status)
{
    size_t length = 0;

    rewind(errors);
    if (WIFSIGNALED(status))
        length = (size_t)snprintf(run->why, sizeof(run->why), "signal %d; ", WTERMSIG(status));
    else
        length = (size_t)snprintf(run->why, sizeof(run->why), "status %d; ", WEXITSTATUS(status));
    length += fread(run->why + length, 1, sizeof(run->why) - 1 - length, errors);
    run->why[length] = '\0';
}

/* FUNCTION(argument) in a child, which fills *told and returns; LIMIT_MS is all the time it has. */
static struct run run_once(void (*function)(void *argument), void *argument, int limit_ms)
{
    struct run run = {.well = false};
    FILE *errors = tmpfile();
    int status = 0;

    CHECK(errors != NULL);
    run_prepare();
    memset(told, 0, sizeof(*told));
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        dup2(fileno(errors), STDERR_FILENO);
        function(argument);
        exit(EXIT_SUCCESS);
    }
    run.hung = !run_ends(pid, limit_ms, &status);
    memcpy(&run.told, told, sizeof(run.told)); /* the child is gone */
    run.well = !run.hung && run.told.reached && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!run.well)
        run_explain(&run, errors, status);
    fclose(errors);
    return run;
}

enum { HANG_MS = 5000, PATIENT_MS = 30000 };

/* The same; one that takes too long gets a second chance with much more time. */
static inline struct run run_use(void (*function)(void *argument), void *argument)
{
    struct run run = run_once(function, argument, HANG_MS);

    return run.hung ? run_once(function, argument, PATIENT_MS) : run;
}

#endif
