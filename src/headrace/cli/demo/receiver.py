"""The receiving end, a process of its own: answers every POST with 204 and writes it down with the instant of its receipt."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any

from headrace.clock import SystemClock

_CLOCK = SystemClock()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "_Server"

    def do_POST(self) -> None:
        """Take one message."""
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        received_at_ms = _CLOCK.now_ms()
        self.server.note(
            {
                "received_at_ms": received_at_ms,
                "message_id": self.headers.get("x-headrace-message-id", ""),
                "flow_id": self.headers.get("x-headrace-flow-id", ""),
                "body": json.loads(body),
            }
        )
        self.send_response(204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the messages are the log."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, path: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._file = path.open("a", buffering=1)
        self._lock = Lock()

    def note(self, line: dict[str, Any]) -> None:
        """Write one message down."""
        text = json.dumps(line) + "\n"
        with self._lock:
            self._file.write(text)


def main(path: str) -> None:
    """Serve on a free port, printed as the first line, until the process is ended."""
    server = _Server(Path(path))
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
