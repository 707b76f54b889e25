"""Runs a server that speaks the protocol of an object store, for as long as standard input is open.

Usage: object_store.py s3 PORT | object_store.py azure PORT DIRECTORY_OF_AZURITE

Prints `ready` when it takes requests. Each further line of standard input names a bucket or container
to make, and is answered with `done`.

S3 is moto (https://github.com/getmoto/moto). Its handlers look whether an object is there and then put
it, with nothing between them that keeps others out, so they run one at a time here: otherwise two of
many conditional puts may succeed. Azure is azurite (https://github.com/Azure/Azurite).
"""

import base64
import email.utils
import hashlib
import hmac
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request

# The account that azurite always has; it is in its documentation, and no secret.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def start_s3(port):
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from moto.s3 import responses
    from werkzeug.serving import WSGIRequestHandler, make_server

    one_at_a_time = threading.RLock()

    def locked(handler):
        def run(*arguments, **named):
            with one_at_a_time:
                return handler(*arguments, **named)

        return run

    for name in ("put_object", "copy_object", "delete_object"):
        handler = getattr(responses.S3Response, name)
        setattr(responses.S3Response, name, locked(handler))

    class Silent(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_request(self, *_):
            pass

    application = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", port, application, threaded=True, request_handler=Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def start_azure(port, directory):
    command = os.path.join(directory, "node_modules", ".bin", "azurite-blob")
    options = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence"]
    options += ["--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    return subprocess.Popen([command, *options], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def wait_for(port):
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit("the server does not take connections")


def make_bucket(port, name):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{name}", method="PUT")
    urllib.request.urlopen(request, timeout=30).close()


def make_container(port, name):
    """https://learn.microsoft.com/rest/api/storageservices/create-container, by shared key."""
    date = email.utils.formatdate(usegmt=True)
    headers = f"x-ms-date:{date}\nx-ms-version:2023-11-03\n"
    resource = f"/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
    signed = "PUT" + "\n" * 12 + headers + resource
    digest = hmac.new(base64.b64decode(KEY), signed.encode(), hashlib.sha256).digest()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/{ACCOUNT}/{name}?restype=container", method="PUT", data=b""
    )
    request.add_header("x-ms-date", date)
    request.add_header("x-ms-version", "2023-11-03")
    request.add_header("Content-Type", "")
    request.add_header("Authorization", f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}")
    urllib.request.urlopen(request, timeout=30).close()


def main():
    kind, port = sys.argv[1], int(sys.argv[2])
    server = None
    if kind == "s3":
        start_s3(port)
    else:
        server = start_azure(port, sys.argv[3])
    try:
        wait_for(port)
        print("ready", flush=True)
        for line in sys.stdin:
            (make_bucket if kind == "s3" else make_container)(port, line.strip())
            print("done", flush=True)
    finally:
        if server:
            server.kill()
    os._exit(0)


main()
