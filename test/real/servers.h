/* SPDX-License-Identifier: MIT */
/*
 * Real servers for tests and benchmarks with real clients: started on loopback, with a folder of
 * their own, ended with the process that started them, however that ends.
 *
 * Nothing here uses the library.  What goes wrong in here is the machine's fault: it is said on
 * standard error, and ends the process.
 */
#ifndef TEST_REAL_SERVERS_H
#define TEST_REAL_SERVERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { SERVER_PATH = 256 };

/* One server.  Its process ends by SIGKILL when the one that started it does. */
struct server {
    pid_t pid; /* 0: it is not running */
    int port;
    char folder[SERVER_PATH]; /* its own, below /tmp; what it says is in FOLDER/log */
};

/* A port of 127.0.0.1 that nobody listens on. */
int server_free_port(void);

/* Make a folder, which is removed with all that is in it when this process ends. */
void server_folder(char folder[SERVER_PATH]);

/* Write a file into SERVER's folder, from a format. */
void server_write(const struct server *server, const char *name, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* Run ARGV (ends with NULL), and wait until somebody answers on PORT.  USER: who it runs as if we
 * are root; NULL is who we are.  The folder is made if SERVER has none, and then is USER's. */
void server_start(struct server *server, int port, const char *user, const char *const argv[]);

/* Run ARGV as server_start() does, and wait until it ends; returns its exit status.  Its output is
 * appended to FOLDER/log. */
int server_run(struct server *server, const char *user, const char *const argv[]);

/* Send a signal, and for those that end it wait until it is gone. */
void server_stop(struct server *server);  /* SIGTERM */
void server_kill(struct server *server);  /* SIGKILL: whoever talks to it sees a reset or an end */
void server_pause(struct server *server); /* SIGSTOP: it is alive, and silent */
void server_go_on(struct server *server); /* SIGCONT */

/*
 * Somebody who answers on a port and is no server: to each that connects it says TEXT (its first
 * SIZE bytes; 0: nothing), then CLOSES, or keeps quiet until server_kill().
 */
void server_pretend(struct server *server, int port, const char *text, size_t size, bool closes);

#endif
