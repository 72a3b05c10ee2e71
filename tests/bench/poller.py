# SPDX-License-Identifier: Apache-2.0
"""Asks an address every two milliseconds, from before a switch to after it: `poller HOST PORT OLD NEW`.

A process of its own, so that nothing that goes on in the caller delays it. It says `ready` when OLD has answered, then
waits for NEW, and prints for how many seconds neither did: from the last good answer of the old to the first of the
new. Each question is a connection of its own, as a client's that lost the one it had.
"""

import socket
import sys
import threading

from checkvalve import clock

EVERY = 0.002  # seconds
PATIENCE = 0.05  # seconds for one answer: a packet that nobody answers must not hide the first one that somebody does
SOON = 60.0


def main(host: str, port: int, old: str, new: str) -> int:
    """Print `ready`, then `SECONDS TRIES`; 1 if the new one never answered."""
    pause = threading.Event()
    deadline = clock.monotonic() + SOON
    last, tries, said = 0.0, 0, False
    while (now := clock.monotonic()) < deadline:
        answer = ask(host, port)
        if answer == new:
            print(clock.monotonic() - last, tries, flush=True)
            return 0
        if answer == old:
            last, tries = clock.monotonic(), 0
            if not said:
                said = True
                print("ready", flush=True)
        else:
            tries += 1
        pause.wait(max(0.0, now + EVERY - clock.monotonic()))
    return 1


def ask(host: str, port: int) -> str:
    """Return what `GET /` brings; "" if it is nothing good."""
    try:
        with socket.create_connection((host, port), PATIENCE) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            data = b""
            while piece := connection.recv(4096):
                data += piece
    except OSError:
        return ""
    head, _, body = data.partition(b"\r\n\r\n")
    return body.decode().strip() if b" 200 " in head else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]))
