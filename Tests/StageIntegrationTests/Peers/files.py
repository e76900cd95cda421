"""A web server with awkward files. Prints its port; ends when its standard input does."""

import http.server
import sys
import threading

ROWS = "".join(
    f'{{"question":"What is item {n}?","answer":"Item {n} is {n * 7919:b}.","source_id":"s{n}"}}\n' for n in range(200)
).encode()
counts: dict[str, int] = {}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in {"Content-Length": len(body), "Content-Type": "application/x-ndjson", **given}.items():
            if value is not None:
                self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        path = self.path.split("?")[0]
        counts[path] = counts.get(path, 0) + 1
        if path == "/rows.jsonl":
            self.answer(200, ROWS, ETag='"v1"')
        elif path == "/untagged.jsonl":
            self.answer(200, ROWS)
        elif path == "/changing.jsonl":
            self.answer(200, ROWS, ETag=f'"v{counts[path]}"')
        elif path == "/chunked.jsonl":
            self.answer(200, b"", Content_Length=None, Transfer_Encoding="chunked", ETag='"v1"')
            for start in range(0, len(ROWS), 1000):
                piece = ROWS[start : start + 1000]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        elif path == "/cut.jsonl":
            self.answer(200, ROWS[:500], Content_Length=len(ROWS), Connection="close")
            self.close_connection = True
        elif path == "/private.jsonl":
            self.answer(401, b"who are you?")
        elif path == "/busy.jsonl":
            self.answer(503, b"later")
        elif path == "/elsewhere.jsonl":
            self.answer(302, Location="http://169.254.169.254/latest/meta-data/")
        else:
            self.answer(404, b"nothing here")


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
