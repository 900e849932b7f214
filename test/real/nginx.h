/* SPDX-License-Identifier: MIT */
/*
 * nginx for tests and benchmarks: one process, HTTP on `port` and HTTPS on `tls_port` with a
 * certificate that was made for 127.0.0.1 and signed by itself.
 *
 *      /hello            "hello\n"
 *      /big, /slow       a file of NGINX_BIG bytes; slow: a few of them a second
 *      /moved, /round    redirects to /hello, and to itself
 *      /see              an answer to a POST that is at /what
 *      /what             method, Content-Length and Content-Type of the request
 *      /put/NAME         takes a file by PUT, and has it for GET
 *      /put/moved        redirects to /put/here
 */
#ifndef TEST_REAL_NGINX_H
#define TEST_REAL_NGINX_H

#include "servers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NGINX_BIG = 64 << 20 };

static struct nginx {
    struct server server;
    int port, tls_port;
    char certificate[SERVER_PATH + 16];
} nginx;

static const char nginx_format[] =
        "daemon off; master_process off; pid pid; error_log log;\n"
        "events { worker_connections 4000; }\n"
        "http {\n"
        "  access_log off; keepalive_requests 100000000; client_max_body_size 0;\n"
        "  client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c;\n"
        "  uwsgi_temp_path d; scgi_temp_path e;\n"
        "  server {\n"
        "    listen 127.0.0.1:%d backlog=2000; listen 127.0.0.1:%d ssl backlog=2000;\n"
        "    ssl_certificate cert.pem; ssl_certificate_key key.pem;\n"
        "    root .;\n"
        "    location = /hello { return 200 \"hello\\n\"; }\n"
        "    location = /slow { alias big; limit_rate 10; limit_rate_after 100k; }\n"
        "    location = /moved { return 302 /hello; }\n"
        "    location = /round { return 302 /round; }\n"
        "    location = /see { return 303 /what; }\n"
        "    location = /what {\n"
        "      return 200 \"$request_method $content_length $content_type\\n\"; }\n"
        "    location = /put/moved { return 302 /put/here; }\n"
        "    location /put { dav_methods PUT; }\n"
        "  }\n"
        "}\n";

/* Make a key, and a certificate that it signs itself, for NAME ("IP:127.0.0.1"). */
static inline void make_certificate(struct server *server, const char *name)
{
    char key[SERVER_PATH + 16], file[SERVER_PATH + 16], alternative[100];

    snprintf(key, sizeof(key), "%s/key.pem", server->folder);
    snprintf(file, sizeof(file), "%s/cert.pem", server->folder);
    snprintf(alternative, sizeof(alternative), "subjectAltName=%s", name);
    const char *const argv[] = {"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=test", "-addext",
            alternative, "-keyout", key, "-out", file, NULL};
    if (server_run(server, NULL, argv) != 0) {
        fprintf(stderr, "openssl: see %s/log\n", server->folder);
        abort();
    }
}

/* Start it, again after it was stopped or killed. */
static inline void start_nginx_again(void)
{
    char conf[SERVER_PATH + 16];

    snprintf(conf, sizeof(conf), "%s/conf", nginx.server.folder);
    const char *const argv[] = {access("/usr/sbin/nginx", X_OK) == 0 ? "/usr/sbin/nginx" : "nginx",
            "-p", nginx.server.folder, "-c", conf, NULL};
    server_start(&nginx.server, nginx.port, NULL, argv);
}

/* The name is that of its certificate. */
static inline void start_nginx_named(const char *name)
{
    char path[SERVER_PATH + 16];
    struct server *server = &nginx.server;

    server_folder(server->folder);
    make_certificate(server, name);
    nginx.port = server_free_port();
    do
        nginx.tls_port = server_free_port();
    while (nginx.tls_port == nginx.port); /* it is free still */
    snprintf(nginx.certificate, sizeof(nginx.certificate), "%s/cert.pem", server->folder);
    snprintf(path, sizeof(path), "%s/put", server->folder);
    if (mkdir(path, 0777) != 0)
        abort();
    snprintf(path, sizeof(path), "%s/big", server->folder);
    FILE *file = fopen(path, "w");
    if (!file || fseek(file, NGINX_BIG - 1, SEEK_SET) != 0 || fputc(0, file) != 0 ||
            fclose(file) != 0)
        abort();
    server_write(server, "conf", nginx_format, nginx.port, nginx.tls_port);
    start_nginx_again();
}

static inline void start_nginx(void)
{
    start_nginx_named("IP:127.0.0.1");
}

#endif
