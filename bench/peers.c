/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1 /* pipe2, clock_getcpuclockid */
/*
 * Peers as child processes: see peers.h.
 *
 * A peer is started as `PEER WORK`, with one pipe to its standard input and one from its standard
 * output.  It says "ready", or "ready PORT", or it ends because it has no such work.  Then each
 * COUNT sent is answered by a line: the ns of one operation, and whatever the row records.  It
 * inherits the processors this process may use; a server gets the second one.  It dies with us.
 */
#include "peers.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_MS 30000 /* a repetition takes a second or two */
#define NAME_SIZE 32
#define PATH_SIZE 4096

struct peer {
    char name[NAME_SIZE];
    char path[PATH_SIZE];
    pid_t pid;     /* 0: not running */
    int to, from;  /* pipes */
    FILE *answers; /* reads from `from` */
    int port;      /* of a server */
    bool failed;
};

static struct peer peers[PEERS_MAX];
static int peers_count;

static void become(const struct peer *peer, const struct bench_row *row, int input, int output)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(input, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    if (row->client)
        bench_pin(bench_cores() > 1);
    execl(peer->path, peer->path, row->peer ? row->peer : row->key, (char *)NULL);
    _exit(127);
}

static void stop(struct peer *peer)
{
    if (peer->pid == 0)
        return;
    kill(peer->pid, SIGKILL);
    waitpid(peer->pid, NULL, 0);
    peer->pid = 0;
    close(peer->to);
    fclose(peer->answers);
}

/* The next line of what PEER says, to be freed; NULL if it says nothing in time. */
static char *hear(struct peer *peer)
{
    struct pollfd readable = {.fd = peer->from, .events = POLLIN};
    char *line = NULL;
    size_t size = 0;

    if (poll(&readable, 1, ANSWER_MS) == 1 && getline(&line, &size, peer->answers) > 0)
        return line;
    free(line);
    return NULL;
}

/* Whether PEER runs, and has ROW's work. */
static bool start(struct peer *peer, const struct bench_row *row)
{
    int down[2], up[2];
    char *line;
    bool ready;

    /* Closed on exec: each peer sees its own two ends alone. */
    bench_check(pipe2(down, O_CLOEXEC) != 0 || pipe2(up, O_CLOEXEC) != 0, "pipe2");
    fflush(stdout);
    peer->pid = fork();
    bench_check(peer->pid < 0, "fork");
    if (peer->pid == 0)
        become(peer, row, down[0], up[1]);
    close(down[0]);
    close(up[1]);
    peer->to = down[1];
    peer->from = up[0];
    peer->answers = fdopen(up[0], "r");
    bench_check(peer->answers == NULL, "fdopen");
    line = hear(peer);
    ready = line && strncmp(line, "ready", 5) == 0;
    peer->port = ready ? atoi(line + 5) : 0;
    free(line);
    if (!ready)
        stop(peer);
    return ready;
}

static void find(const char *directory, const char *name)
{
    struct peer *peer = &peers[peers_count];
    const char *only = getenv("BENCH_ONLY");
    struct stat status;

    if (peers_count == PEERS_MAX || name[0] == '.' || strlen(name) >= NAME_SIZE ||
            (only && strstr(only, name) == NULL))
        return;
    strcpy(peer->name, name);
    snprintf(peer->path, sizeof(peer->path), "%s/%s", directory, name);
    if (stat(peer->path, &status) == 0 && S_ISREG(status.st_mode) && access(peer->path, X_OK) == 0)
        peers_count++;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct peer *)a)->name, ((const struct peer *)b)->name);
}

int peers_start(const struct bench_row *row)
{
    const char *directory = getenv("BENCH_PEERS");
    DIR *entries = directory ? opendir(directory) : NULL;
    int found;

    if (entries == NULL)
        return 0;
    signal(SIGPIPE, SIG_IGN);
    for (struct dirent *entry = readdir(entries); entry; entry = readdir(entries))
        find(directory, entry->d_name);
    closedir(entries);
    found = peers_count;
    qsort(peers, (size_t)found, sizeof(peers[0]), by_name);
    peers_count = 0;
    for (int i = 0; i < found; i++) {
        if (!start(&peers[i], row))
            continue;
        if (row->fresh)
            stop(&peers[i]);
        peers[peers_count++] = peers[i];
    }
    return peers_count;
}

const char *peers_name(int index)
{
    return peers[index].name;
}

/* The figures of one answer: the first is returned, others are recorded if ROW wants them. */
static double take_answer(struct peer *peer, const struct bench_row *row)
{
    char *line = hear(peer), *at = line, *end;
    double first = line ? strtod(line, &at) : -1;

    if (line == NULL || at == line) {
        free(line);
        return -1;
    }
    for (double other = strtod(at, &end); row->records && end != at; other = strtod(at, &end)) {
        bench_record(other);
        at = end;
    }
    free(line);
    return first;
}

int64_t peers_run(int index, const struct bench_row *row, int64_t count)
{
    struct peer *peer = &peers[index];
    double each_ns = -1;

    if (peer->failed)
        return -1;
    if (peer->pid == 0 && !start(peer, row))
        peer->failed = true;
    else if (row->client)
        return row->client(peer->port, count);
    else if (dprintf(peer->to, "%lld\n", (long long)count) > 0)
        each_ns = take_answer(peer, row);
    if (row->fresh || each_ns < 0)
        stop(peer);
    if (each_ns >= 0)
        return (int64_t)(each_ns * (double)count);
    fprintf(stderr, "%s: left out of %s: no answer\n", peer->name, row->key);
    peer->failed = true;
    return -1;
}

int64_t peers_busy_ns(void)
{
    int64_t busy_ns = 0;

    for (int i = 0; i < peers_count; i++) {
        struct timespec used;
        clockid_t clock;

        if (peers[i].pid && clock_getcpuclockid(peers[i].pid, &clock) == 0 &&
                clock_gettime(clock, &used) == 0)
            busy_ns += (int64_t)used.tv_sec * 1000000000 + used.tv_nsec;
    }
    return busy_ns;
}

void peers_stop(void)
{
    for (int i = 0; i < peers_count; i++)
        stop(&peers[i]);
}
