/* SPDX-License-Identifier: MIT */
/*
 * Servers of tests (servers.h).
 *
 * A server is a child that asks for SIGKILL when its parent ends, so that nothing is left behind
 * even by a test that crashes.  Whether it is ready is found out by connecting to its port again
 * and again: nobody can tell us otherwise.
 *
 * Folders are removed by a process that waits for the end of a pipe which this process holds open:
 * it comes however we end.
 */
#define _GNU_SOURCE
#include "servers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { READY_TRIES = 6000, TRY_NS = 10000000 }; /* a minute */

static void __attribute__((noreturn, format(printf, 1, 2))) give_up(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fprintf(stderr, ": %s\n", strerror(errno));
    abort();
}

static struct sockaddr_in loopback(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static int listen_on(int *port)
{
    struct sockaddr_in address = loopback(*port);
    socklen_t size = sizeof(address);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
            bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1024) < 0 ||
            getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        give_up("port %d", *port);
    *port = ntohs(address.sin_port);
    return fd;
}

int server_free_port(void)
{
    int port = 0;

    close(listen_on(&port));
    return port;
}

/* --- folders ---------------------------------------------------------------------------------- */

void server_folder(char folder[SERVER_PATH])
{
    int ends[2];

    snprintf(folder, SERVER_PATH, "%s", "/tmp/anysync-XXXXXX");
    if (!mkdtemp(folder) || chmod(folder, 0755) < 0 || pipe2(ends, O_CLOEXEC) < 0)
        give_up("%s", folder);
    pid_t pid = fork();
    if (pid < 0)
        give_up("fork");
    if (pid == 0) {
        char byte;

        close(ends[1]);
        setsid();
        signal(SIGINT, SIG_IGN);
        while (read(ends[0], &byte, 1) > 0 || errno == EINTR)
            errno = 0;
        execlp("rm", "rm", "-rf", folder, (char *)NULL);
        _exit(127);
    }
    close(ends[0]); /* the other one stays open as long as we live */
}

void server_write(const struct server *server, const char *name, const char *format, ...)
{
    char path[SERVER_PATH + 64];
    va_list list;

    snprintf(path, sizeof(path), "%s/%s", server->folder, name);
    FILE *file = fopen(path, "w");
    if (!file)
        give_up("%s", path);
    va_start(list, format);
    vfprintf(file, format, list);
    va_end(list);
    if (fclose(file) != 0)
        give_up("%s", path);
}

/* --- processes -------------------------------------------------------------------------------- */

static const struct passwd *other_user(const char *user)
{
    if (!user || geteuid() != 0)
        return NULL;
    const struct passwd *entry = getpwnam(user);
    if (!entry)
        give_up("no user %s", user);
    return entry;
}

static void __attribute__((noreturn))
become(struct server *server, const struct passwd *user, const char *const argv[])
{
    char log[SERVER_PATH + 8];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(log, sizeof(log), "%s/log", server->folder);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644), null = open("/dev/null", O_RDONLY);
    if (fd < 0 || null < 0)
        give_up("%s", log);
    dup2(null, STDIN_FILENO);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    close_range(STDERR_FILENO + 1, ~0U, 0);
    if (user) {
        if (fchown(STDOUT_FILENO, user->pw_uid, user->pw_gid) < 0 ||
                initgroups(user->pw_name, user->pw_gid) < 0 || setgid(user->pw_gid) < 0 ||
                setuid(user->pw_uid) < 0 || chdir("/") < 0)
            give_up("become %s", user->pw_name);
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* forgotten when the user changes */
    }
    execvp(argv[0], (char *const *)argv);
    give_up("%s", argv[0]);
}

static pid_t begin(struct server *server, const char *user, const char *const argv[])
{
    const struct passwd *other = other_user(user);

    if (!server->folder[0])
        server_folder(server->folder);
    if (other && chown(server->folder, other->pw_uid, other->pw_gid) < 0)
        give_up("%s", server->folder);
    pid_t pid = fork();
    if (pid < 0)
        give_up("fork");
    if (pid == 0)
        become(server, other, argv);
    return pid;
}

static int wait_for(pid_t pid)
{
    int status = 0;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            give_up("waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int server_run(struct server *server, const char *user, const char *const argv[])
{
    return wait_for(begin(server, user, argv));
}

static bool answers(int port)
{
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool yes = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;

    close(fd);
    return yes;
}

static void wait_until_it_answers(struct server *server, const char *name)
{
    const struct timespec moment = {.tv_nsec = TRY_NS};
    int status;

    for (int tries = 0; !answers(server->port); tries++) {
        if (waitpid(server->pid, &status, WNOHANG) != 0)
            give_up("%s ended with status %x: see %s/log", name, (unsigned)status, server->folder);
        if (tries == READY_TRIES)
            give_up("%s does not answer on port %d", name, server->port);
        nanosleep(&moment, NULL);
    }
}

void server_start(struct server *server, int port, const char *user, const char *const argv[])
{
    server->port = port;
    server->pid = begin(server, user, argv);
    wait_until_it_answers(server, argv[0]);
}

static void end_by(struct server *server, int number)
{
    if (server->pid == 0)
        return;
    kill(server->pid, number);
    kill(server->pid, SIGCONT);
    wait_for(server->pid);
    server->pid = 0;
}

void server_stop(struct server *server)
{
    end_by(server, SIGTERM);
}

void server_kill(struct server *server)
{
    end_by(server, SIGKILL);
}

void server_pause(struct server *server)
{
    int status;

    kill(server->pid, SIGSTOP);
    while (waitpid(server->pid, &status, WUNTRACED) < 0 && errno == EINTR)
        continue;
}

void server_go_on(struct server *server)
{
    kill(server->pid, SIGCONT);
}

/* --- pretenders ------------------------------------------------------------------------------- */

static void __attribute__((noreturn))
pretend(int listener, const char *text, size_t size, bool closes)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            continue;
        if (size > 0 && send(fd, text, size, MSG_NOSIGNAL) < 0)
            closes = true;
        if (closes) {
            char rest[4096];

            shutdown(fd, SHUT_WR); /* an end, not a reset: what was said arrives */
            while (read(fd, rest, sizeof(rest)) > 0)
                continue;
            close(fd);
        }
    }
}

void server_pretend(struct server *server, int port, const char *text, size_t size, bool closes)
{
    server->port = port;
    int listener = listen_on(&server->port);
    server->pid = fork();
    if (server->pid < 0)
        give_up("fork");
    if (server->pid == 0)
        pretend(listener, text, size, closes);
    close(listener);
}
