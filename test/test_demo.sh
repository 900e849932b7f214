#!/bin/sh
# SPDX-License-Identifier: MIT
# The demo program (docs/examples/demo), against its embedded server and against Debian's nginx.
#
#   [BUILD=build/gcc] [CC=gcc] sh test/test_demo.sh        TAP on standard output
#
# Promised                                          Tested by
#   the table, exit code 0                            the embedded server, --threads 0, nginx
#   each kind of failure: a sentence and a code       fails_with ...
#   a server that dies or falls silent during a run   nginx_dies, nginx_stalls
#   a progress bar on terminals only                  the run under script(1); is_good_table
# Only loopback; nothing waits longer than `limit`; nothing is timed by sleeping: where another
# process has to get ready, what it does is looked at until it has (up to `limit` seconds).
set -u
cd "$(dirname "$0")/.." || exit 2
: "${BUILD:=build/gcc}" "${CC:=gcc}" "${SAN:=}"
limit=60
demo=$BUILD/demo
number=0 failed=0 nginx_pid=
work=$(mktemp -d) || exit 2

finish() {
    [ -z "$nginx_pid" ] || kill -9 "$nginx_pid" 2>/dev/null
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM

# ok CONDITION_STATUS NAME: one TAP line; what the program said when it failed.
ok() {
    number=$((number + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $number - $2"
    else
        echo "not ok $number - $2"
        failed=$((failed + 1))
        echo "# exit code $code"
        sed 's/^/# out: /' "$work/out"
        sed 's/^/# err: /' "$work/err"
    fi
}

skip() {
    number=$((number + 1))
    echo "ok $number - $1 # SKIP $2"
}

# run ARGUMENT ...: the demo, into $work/out and $work/err; its exit code is $code.
run() {
    timeout -k 5 "$limit" "$demo" "$@" >"$work/out" 2>"$work/err" </dev/null
    code=$?
}

# The number behind NAME in the table.
row() {
    sed -n "s|^$1 *\([0-9.]*\).*|\1|p" "$work/out"
}

# A good run of $1 requests: all rows there, nothing on standard error.
is_good_table() {
    [ $code -eq 0 ] && [ ! -s "$work/err" ] && [ "$(row documents)" = "$1" ] &&
        [ "$(row errors)" = 0 ] && [ "$(row bytes)" -gt 0 ] && [ "$(row requests/s)" -gt 0 ] &&
        [ -n "$(row p50)" ] && [ -n "$(row p99)" ] && [ "$(wc -l <"$work/out")" -eq 7 ]
}

# fails_with CODE SENTENCE ARGUMENT ...: the demo exits with CODE, says SENTENCE and nothing else.
fails_with() {
    wanted=$1 sentence=$2
    shift 2
    run "$@"
    [ $code -eq "$wanted" ] && [ ! -s "$work/out" ] && grep -qF "$sentence" "$work/err" &&
        [ "$(wc -l <"$work/err")" -eq 1 ]
    good=$?
    ok $good "$(echo "$*" | sed "s|$work|.|g") ends with $wanted: $sentence"
}

if [ ! -x "$demo" ]; then
    make --no-print-directory CC="$CC" SAN="$SAN" "$demo" >"$work/out" 2>"$work/err"
    code=$?
    ok $code "the demo builds"
    [ $code -eq 0 ] || { echo "1..$number" && exit 1; }
fi

# --- the embedded server ---

run --requests 60
is_good_table 60 && grep -q '^threads used  *5 .*(4 that block, 1 worker' "$work/out"
ok $? "threads and a coroutine fetch the project's files: five threads and no error"

run --requests 10 --threads 0
is_good_table 10 && grep -q '^documents  *10  *(0 by threads, 10 by the coroutine)' "$work/out"
ok $? "a coroutine alone fetches"

run --one /LICENSE --save "$work/saved"
[ $code -eq 0 ] && cmp -s LICENSE "$work/saved" &&
    grep -q "/LICENSE: $(wc -c <LICENSE) bytes\$" "$work/out"
ok $? "a document arrives byte for byte"

mkdir "$work/root" && : >"$work/root/empty" && ln -s /etc/passwd "$work/root/link" &&
    echo "outside" >"$work/outside"
run --root "$work/root" --one /empty --save "$work/saved"
[ $code -eq 0 ] && [ -e "$work/saved" ] && [ ! -s "$work/saved" ]
ok $? "an empty document is a document"

fails_with 5 "/missing: the server answered 404 Not Found" --one /missing
fails_with 5 "the server answered 404" --root "$work/root" --one /link
fails_with 5 "the server answered 404" --root "$work/root" --one /../outside
fails_with 5 "the server answered 404" --root "$work/root" --one /%2e%2e/outside
fails_with 4 "/slow: no complete answer within 200 ms" --one /slow --timeout 200
fails_with 6 "/die: the connection broke in the middle of the answer" --one /die
fails_with 6 "/garbage: the server did not answer in HTTP" --one /garbage

# --- URLs that lead nowhere ---

fails_with 3 "http://127.0.0.1:1/: cannot connect: Connection refused" --one http://127.0.0.1:1/
fails_with 3 "http://127.0.0.1:1/: cannot connect: Connection refused" http://127.0.0.1:1/
fails_with 3 "http://localhost:1/x: cannot connect: Connection refused" --one http://localhost:1/x
fails_with 2 "http//nonsense: not a URL" --one http//nonsense
fails_with 2 "http//nonsense: not a URL" http//nonsense
fails_with 2 "https://127.0.0.1/: cannot speak https, only http" --one https://127.0.0.1/
fails_with 2 "http:///x: the URL names no host" --one http:///x
fails_with 2 "http://127.0.0.1:99999/: not a URL" --one http://127.0.0.1:99999/

run --threads many
[ $code -eq 2 ] && grep -q '^usage: ' "$work/err"
ok $? "a wrong argument ends with 2 and the usage"

# --- the progress bar ---

if script --version 2>/dev/null | grep -q util-linux; then
    timeout -k 5 "$limit" script -qec "'$demo' --requests 200" /dev/null \
        >"$work/out" 2>"$work/err" </dev/null
    code=$?
    bar=$(printf '\r')'\[[#.]*\] *[0-9]* %  [0-9]* of 200, 0 errors'
    [ $code -eq 0 ] && grep -q "$bar" "$work/out"
    ok $? "on a terminal there is a progress bar"
else
    skip "on a terminal there is a progress bar" "no script(1)"
fi

# --- nginx ---

# Start nginx on port $1 and wait until it answers.  Returns whether it does.
start_nginx() {
    cat >"$work/nginx.conf" <<END
daemon off;
master_process off;
pid $work/nginx.pid;
error_log $work/error.log;
events { worker_connections 512; }
http {
    access_log $work/access.log;
    client_body_temp_path $work/t1;
    proxy_temp_path $work/t2;
    fastcgi_temp_path $work/t3;
    uwsgi_temp_path $work/t4;
    scgi_temp_path $work/t5;
    server { listen 127.0.0.1:$1; root $work/site; }
}
END
    "$nginx" -p "$work" -c "$work/nginx.conf" >"$work/nginx.out" 2>&1 </dev/null &
    nginx_pid=$!
    end=$(($(date +%s) + limit))
    while kill -0 "$nginx_pid" 2>/dev/null && [ "$(date +%s)" -lt "$end" ]; do
        run --one "http://127.0.0.1:$1/index.html"
        [ $code -ne 0 ] || grep -q '/index.html' "$work/access.log" || return 1
        [ $code -ne 0 ] || return 0
    done
    kill -9 "$nginx_pid" 2>/dev/null
    wait "$nginx_pid" 2>/dev/null
    nginx_pid=
    return 1
}

# Begin a long run in the background ($demo_pid), whose answers may take $1 milliseconds, and return
# when nginx's log shows it under way.  It tries the document first, and ends at once if that is late.
# On a busy machine it may be: then another is begun, which has twice the time.
begin_run() {
    : >"$work/access.log"
    demo_pid='' patience=$1
    end=$(($(date +%s) + limit))
    while [ "$(wc -l <"$work/access.log")" -lt 100 ] && [ "$(date +%s)" -lt "$end" ]; do
        ! kill -0 "$demo_pid" 2>/dev/null || continue
        [ -z "$demo_pid" ] || patience=$((patience * 2))
        timeout -k 5 "$limit" "$demo" "$url/index.html" --requests 10000000 --timeout "$patience" \
            >"$work/out" 2>"$work/err" </dev/null &
        demo_pid=$!
    done
}

# The run ends by itself: it had documents, then errors of which it tells the first.
end_run() {
    wait "$demo_pid"
    code=$?
    [ "$(row documents)" -gt 0 ] && [ "$(row errors)" -ge 20 ] &&
        grep -q "^demo: $url/index.html: " "$work/err"
}

nginx_stalls() {
    begin_run 200
    kill -STOP "$nginx_pid"
    end_run
    good=$?
    kill -CONT "$nginx_pid"
    [ $good -eq 0 ] && [ $code -eq 4 ]
}

nginx_dies() {
    begin_run 10000
    kill -9 "$nginx_pid"
    wait "$nginx_pid" 2>/dev/null
    nginx_pid=
    end_run && { [ $code -eq 3 ] || [ $code -eq 6 ]; }
}

nginx=$(command -v nginx || ls /usr/sbin/nginx 2>/dev/null)
if [ -z "$nginx" ]; then
    skip "nginx" "nginx is not installed"
else
    mkdir "$work/site" && cat include/anysync/*.h >"$work/site/index.html" &&
        head -c 3000000 /dev/urandom >"$work/site/large"
    port=$((20000 + $$ % 10000)) tries=0
    until start_nginx $port || [ $tries -eq 5 ]; do
        port=$((port + 1)) tries=$((tries + 1))
    done
    url=http://127.0.0.1:$port
    [ -n "$nginx_pid" ]
    ok $? "nginx starts and answers"
fi
if [ -n "$nginx_pid" ]; then
    run --one "$url/large" --save "$work/saved"
    [ $code -eq 0 ] && cmp -s "$work/site/large" "$work/saved"
    ok $? "3 MB of nginx arrive byte for byte"
    run "$url/" --requests 200
    is_good_table 200 && [ "$(row bytes)" -eq $((200 * $(wc -c <"$work/site/index.html"))) ]
    ok $? "200 documents of nginx, no error"
    fails_with 5 "/missing: the server answered 404 Not Found" --one "$url/missing"
    mkdir "$work/site/folder"
    fails_with 5 "the server answered 301 Moved Permanently -> $url/folder/" --one "$url/folder"
    nginx_stalls
    ok $? "nginx falls silent in the middle of a run: timeouts are counted, and it ends"
    nginx_dies
    ok $? "nginx is killed in the middle of a run: errors are counted, and it ends"
fi

echo "1..$number"
[ $failed -eq 0 ]
