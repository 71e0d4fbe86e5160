"""The command line, its imports done once: a `sor` of a page costs a fork, not a second of processor.

``python -m tests.e2e.ready_sor SOCKET`` serves; what stands in `CLIENT` is the program `sor`. A call brings
its arguments, folder, environment and open files, and gets its exit code.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys

CLIENT = """\
#!{python} -ISE
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({path!r})
    call = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [len(call).to_bytes(4, "big")], [0, 1, 2])
    server.sendall(call)
    code = server.recv(1)
sys.exit(code[0] if code else 99)
"""


def main(path: str) -> None:
    """Serve until killed."""
    from cli.app import sor  # noqa: PLC0415 - the imports that are to be done once

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        while True:
            connection, _ = listener.accept()
            with connection:
                if os.fork():
                    continue
                answer(connection, sor)


def answer(connection: socket.socket, sor: object) -> None:
    """Be one call of `sor`, in a process of its own, and end it."""
    code = 98
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, files, _, _ = socket.recv_fds(connection, 4, 3)
    told = b""
    while len(told) < int.from_bytes(size, "big"):
        told += connection.recv(1 << 16)
    arguments, folder, environment = json.loads(told)
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    try:
        assert callable(sor)
        sor(args=arguments, prog_name="sor")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        connection.sendall(bytes([code]))
        os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1])
