#!/bin/sh
# Runs a PostgreSQL server of its own for as long as standard input is open, and removes it then:
# also where the program that started it was killed. Prints `ready` when it takes connections.
# Usage: start.sh BINARIES PORT [SETTING=VALUE …]
# LOG_IN names a directory in which its write-ahead log goes, apart from the rest; SMALL_DISK one that
# `fill` fills.
set -eu
binaries=$1
port=$2
shift 2
directory=$(mktemp -d "${TMPDIR:-/tmp}/annals-pg-XXXXXX")
log=
[ -z "${LOG_IN:-}" ] || log=$(mktemp -d "$LOG_IN/annals-pg-log-XXXXXX")
server=
finish() {
    [ -z "$server" ] || kill -QUIT "$server" 2>/dev/null || true
    wait || true
    rm -rf "$directory" ${log:+"$log"}
}
trap finish EXIT
"$binaries/initdb" --no-sync -D "$directory/data" -U annals -A trust -E UTF8 --locale=C \
    ${log:+--waldir="$log/wal" --wal-segsize=1} >"$directory/log" 2>&1 || {
    cat "$directory/log" >&2
    exit 1
}
cat >"$directory/data/pg_hba.conf" <<RULES
host all locked 127.0.0.1/32 scram-sha-256
local all all trust
host all all 127.0.0.1/32 trust
RULES
cat >>"$directory/data/postgresql.conf" <<SETTINGS
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = '$directory'
max_connections = 400
shared_buffers = 128MB
fsync = on
full_page_writes = on
synchronous_commit = on
log_statement = none
logging_collector = off
SETTINGS
for setting in "$@"; do
    echo "${setting%%=*} = '${setting#*=}'" >>"$directory/data/postgresql.conf"
done

case " $* " in
*" ssl=on "*)
    (cd "$directory/data" && openssl req -new -x509 -days 2 -nodes -subj /CN=localhost \
        -addext subjectAltName=IP:127.0.0.1 -out server.crt -keyout server.key >"$directory/log" 2>&1)
    chmod 600 "$directory/data/server.key"
    ;;
esac

start() {
    tries=0
    launch
    until "$binaries/pg_isready" -q -h 127.0.0.1 -p "$port" -U annals -d postgres; do
        tries=$((tries + 1))
        if [ "$tries" -gt 300 ]; then
            cat "$directory/log" >&2
            exit 1
        fi
        sleep 0.1
        # After a crash, processes of the old server may hold its memory a moment longer.
        kill -0 "$server" 2>/dev/null || launch
    done
}
launch() {
    "$binaries/postgres" -D "$directory/data" >>"$directory/log" 2>&1 &
    server=$!
}

start
echo "ready"
while read -r order; do
    case $order in
    kill) # as a crash of all of its processes
        kill -KILL "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
        # The server's other processes end when they see that the first is gone.
        sleep 0.2
        ;;
    stop)
        kill -INT "$server" 2>/dev/null || true
        # One that is asked while it comes back from a crash may wait for ever for a process that it
        # has not got.
        (sleep 10 && kill -QUIT "$server") </dev/null >/dev/null 2>&1 &
        impatience=$!
        wait "$server" 2>/dev/null || true
        kill "$impatience" 2>/dev/null || true
        ;;
    start) start ;;
    fill) # to the last byte
        dd if=/dev/zero of="$SMALL_DISK/ballast" bs=1M 2>/dev/null || true
        dd if=/dev/zero of="$SMALL_DISK/crumbs" bs=512 2>/dev/null || true
        ;;
    free) rm -f "$SMALL_DISK/ballast" "$SMALL_DISK/crumbs" ;;
    esac
    echo "done"
done
