/* SPDX-License-Identifier: MIT */
/* What tests of TLS share: certificates made by the openssl command, and pairs of TLS streams. */
#ifndef TEST_REAL_TLS_H
#define TEST_REAL_TLS_H

#include "servers.h"
#include "streams.h"

#include <anysync/tls.h>

static struct server files; /* its folder is where certificates are */

/* good: for here.test and 127.0.0.1; old: expired; other: signed by nobody but itself. */
static const char make_files[] =
        "set -e; cd $0\n"
        "new='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'\n"
        "openssl req -x509 $new -keyout ca.key -out ca.pem -subj /CN=trusted -days 30\n"
        "openssl req -x509 $new -keyout other.key -out other.pem -subj /CN=here.test -days 30\n"
        "openssl req $new -keyout good.key -out good.csr -subj /CN=server\n"
        "echo subjectAltName=DNS:here.test,IP:127.0.0.1 >names\n"
        "sign() { openssl x509 -req -in good.csr -CA ca.pem -CAkey ca.key -CAcreateserial \\\n"
        "    -extfile names -days $1 -out $2; }\n"
        "sign 30 good.pem\n"
        "sign -1 old.pem\n";

static inline const char *file(const char *name)
{
    static char paths[8][SERVER_PATH + 32];
    static unsigned next;
    char *path = paths[next++ % 8];

    if (!name)
        return NULL;
    if (!files.folder[0])
        CHECK_EQ(server_run(&files, NULL,
                         (const char *[]){"sh", "-c", make_files, files.folder, NULL}),
                0);
    snprintf(path, sizeof(paths[0]), "%s/%s", files.folder, name);
    return path;
}

static inline struct anysync_tls *new_tls(const char *trust, const char *certificate,
        const char *key, const struct anysync_tls_options *more)
{
    struct anysync_tls_options options = more ? *more : (struct anysync_tls_options){0};
    struct anysync_tls *tls = NULL;

    options.trust_file = file(trust);
    options.certificate_file = file(certificate);
    options.key_file = file(key);
    CHECK_EQ(anysync_tls_new(&options, &tls), 0);
    return tls;
}

static inline struct anysync_tls *new_client(void)
{
    return new_tls("ca.pem", NULL, NULL, NULL);
}

static inline struct anysync_tls *new_server(void)
{
    return new_tls("ca.pem", "good.pem", "good.key", NULL);
}

/* The server's side of a handshake, in a coroutine. */
ANYSYNC_COROUTINE(struct anysync_stream *, accept_tls, (struct anysync_tls *, tls), (int, fd))
{
    return anysync_tls_accept(tls, fd, ANYSYNC_FOREVER, result);
}

/* IN is the client.  Both TLS are consumed. */
static inline struct both shake_hands(
        struct anysync_tls *client, struct anysync_tls *server, const int pair[2])
{
    accept_tls_future task;
    struct both both = {NULL, NULL};

    CHECK_EQ(accept_tls_start(&task, server, pair[1]), 0);
    CHECK_EQ(anysync_tls_connect(client, pair[0], "here.test", ANYSYNC_FOREVER, &both.in), 0);
    CHECK_EQ(accept_tls_wait(&task, &both.out, ANYSYNC_FOREVER), 0);
    accept_tls_drop(&task);
    anysync_tls_unref(client);
    anysync_tls_unref(server);
    return both;
}

static inline struct both open_tls(void)
{
    int pair[2];

    open_pair(SOCKET, pair);
    return shake_hands(new_client(), new_server(), pair);
}

#endif
