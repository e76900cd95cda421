"""A webhook's receiver: answers every POST with one status, and writes what it got as lines of JSON.

    receiver.py STATUS

Prints its port first. Serves the files of the working directory to GET. Ends with its standard input.
"""

import json
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


class Handler(SimpleHTTPRequestHandler):
    """Notifications in, files out."""

    def do_POST(self):  # pylint: disable=invalid-name
        """A notification."""
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        sys.stdout.write(json.dumps({"headers": headers, "body": body.decode()}) + "\n")
        sys.stdout.flush()
        self.send_response(int(sys.argv[1]))
        self.end_headers()

    def log_message(self, *_):  # pylint: disable=arguments-differ
        """Not to the terminal."""


def main():
    """Serves until nobody holds the other end of the standard input."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
