"""Hands requests on to the HTTP server on a port of this machine, but holds one of them for a while.

Arguments: the port, the end of the held request's path, `before` (it is held on its way there) or `after` (its answer
is held), and a file. The first such request makes FILE.arrived, and goes on when FILE.go exists; its client's going
away changes nothing. Prints its own port; ends when its standard input does.
"""

import http.client
import http.server
import os
import sys
import threading
import time

port, held, when, file = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
first = threading.Lock()


def hold():
    open(file + ".arrived", "w").close()
    while not os.path.exists(file + ".go"):
        time.sleep(0.02)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def hand_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        holds = self.path.split("?")[0].endswith(held) and first.acquire(blocking=False)
        if holds and when == "before":
            hold()
        server = http.client.HTTPConnection("127.0.0.1", port)
        headers = {"Content-Type": self.headers.get("Content-Type", "application/json")}
        server.request(self.command, self.path, body, headers)
        answer = server.getresponse()
        content = answer.read()
        server.close()
        if holds and when == "after":
            hold()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_DELETE = hand_on


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
