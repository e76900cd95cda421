"""Receives webhooks and mail, and keeps what came as JSON lines in the file that is its argument.

Written against the documentation of the signature, not against the code that makes it. Prints two ports: HTTP and
SMTP. A path /fail/N refuses its first N calls with 503, /broken with 400. Ends when its standard input does.
"""

import hashlib
import hmac
import http.server
import json
import socketserver
import sys
import threading
import time

output, secret = sys.argv[1], sys.argv[2].encode()
lock = threading.Lock()
counts: dict[str, int] = {}


def keep(**record):
    with lock, open(output, "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


class Hooks(http.server.BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        counts[self.path] = counts.get(self.path, 0) + 1
        timestamp = self.headers.get("X-Martlet-Timestamp", "")
        wanted = "v1=" + hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        refused = self.path.startswith("/fail/") and counts[self.path] <= int(self.path.split("/")[2])
        status = 503 if refused else 400 if self.path == "/broken" else 200
        keep(
            kind="hook", path=self.path, status=status, key=self.headers.get("Idempotency-Key"),
            signed=hmac.compare_digest(wanted, self.headers.get("X-Martlet-Signature", "")),
            fresh=timestamp.isdigit() and abs(time.time() - int(timestamp)) < 60, body=json.loads(body),
        )  # fmt: skip
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")


class Mail(socketserver.StreamRequestHandler):
    def handle(self):
        sender, recipients = "", []
        self.wfile.write(b"220 receiver\r\n")
        for line in self.rfile:
            word = line.strip().decode()
            if word.upper().startswith("EHLO"):
                self.wfile.write(b"250 receiver\r\n")
            elif word.upper().startswith("MAIL FROM:"):
                sender = word[10:]
                self.wfile.write(b"250 ok\r\n")
            elif word.upper().startswith("RCPT TO:"):
                recipients.append(word[8:])
                self.wfile.write(b"250 ok\r\n")
            elif word.upper() == "DATA":
                self.wfile.write(b"354 go on\r\n")
                text = b""
                while (part := self.rfile.readline()) not in (b".\r\n", b""):
                    text += part
                keep(kind="mail", sender=sender, recipients=recipients, text=text.decode())
                self.wfile.write(b"250 kept\r\n")
            elif word.upper() == "QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            else:
                self.wfile.write(b"250 ok\r\n")


hooks = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hooks)
mail = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mail)
for server in (hooks, mail):
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
print(hooks.server_address[1], mail.server_address[1], flush=True)
sys.stdin.read()
