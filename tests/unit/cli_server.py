"""A small HTTP server in the place of the API, for the tests of the command line."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from click.testing import CliRunner, Result

from cli.app import sor

NOWHERE = "http://127.0.0.1:9"


@dataclass
class Request:
    """What came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Server:
    """Answers every request alike, or as `reply` says, and remembers them."""

    url: str = ""
    status: int = 200
    body: str = "{}"
    headers: dict[str, str] = field(default_factory=dict)
    seen: list[Request] = field(default_factory=list)
    reply: Callable[[Request], None] = lambda _: None
    """Called before each answer, to set it."""

    def answers(self, body: object, status: int = 200, **headers: str) -> None:
        self.status, self.headers = status, headers
        self.body = body if isinstance(body, str) else json.dumps(body)


@contextmanager
def serving() -> Iterator[Server]:
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = Request(self.command, self.path, dict(self.headers), json.loads(sent) if sent else None)
            server.seen.append(request)
            server.reply(request)
            self.send_response(server.status)
            for name, value in {**server.headers, "Content-Length": str(len(server.body.encode()))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(server.body.encode())

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        server.url = f"http://127.0.0.1:{listening.server_address[1]}"
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        listening.shutdown()
        thread.join()


def run(*arguments: str, url: str = NOWHERE, **environment: str) -> Result:
    return CliRunner(env={"SOR_URL": url, **environment}).invoke(sor, arguments)
