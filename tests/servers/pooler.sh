#!/bin/sh
# Runs a PgBouncer before a server for as long as standard input is open. Prints `ready` when it
# takes connections.
# Usage: pooler.sh SERVER_PORT PORT [SETTING=VALUE …]
set -eu
server=$1
port=$2
shift 2
PATH=$PATH:/usr/sbin
directory=$(mktemp -d "${TMPDIR:-/tmp}/annals-pooler-XXXXXX")
pooler=
finish() {
    [ -z "$pooler" ] || kill -TERM "$pooler" 2>/dev/null || true
    wait || true
    rm -rf "$directory"
}
trap finish EXIT
cat >"$directory/pooler.ini" <<SETTINGS
[databases]
* = host=127.0.0.1 port=$server user=annals
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = any
max_client_conn = 500
SETTINGS
for setting in "$@"; do
    echo "${setting%%=*} = ${setting#*=}" >>"$directory/pooler.ini"
done
: >"$directory/log"
pgbouncer "$directory/pooler.ini" >"$directory/log" 2>&1 &
pooler=$!
tries=0
until grep -q 'process up' "$directory/log"; do
    tries=$((tries + 1))
    if [ "$tries" -gt 100 ] || ! kill -0 "$pooler" 2>/dev/null; then
        cat "$directory/log" >&2
        exit 1
    fi
    sleep 0.05
done
echo "ready"
while read -r _; do :; done
