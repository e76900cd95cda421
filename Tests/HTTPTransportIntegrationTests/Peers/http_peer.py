"""An HTTP/1.1 server with faults to order, for the transport's tests. Ends when its standard input does.

Raw sockets, a thread per connection: what goes over the wire is exactly what a route says.
"""

import gzip
import hashlib
import json
import socket
import ssl
import struct
import sys
import threading
import time
from urllib.parse import parse_qs, urlsplit

counts = {}
connections = {}
lock = threading.Lock()
BLOCK = bytes(range(256)) * 4096


def count(key):
    with lock:
        counts[key] = counts.get(key, 0) + 1
        return counts[key]


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Connection:
    def __init__(self, sock, number):
        self.sock, self.number, self.buffer, self.requests = sock, number, b"", 0

    def fill(self):
        data = self.sock.recv(1 << 16)
        if not data:
            raise EOFError
        self.buffer += data

    def line(self):
        while b"\r\n" not in self.buffer:
            self.fill()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line.decode("latin-1")

    def read_request(self):
        method, target, _ = self.line().split(" ", 2)
        headers = []
        while line := self.line():
            name, value = line.split(":", 1)
            headers.append([name, value.strip()])
        self.requests += 1
        return method, target, headers

    def read_body(self, headers, pause=0.0):
        fields = {name.lower(): value for name, value in headers}
        digest, size = hashlib.sha256(), 0
        if fields.get("expect", "").lower() == "100-continue":
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if fields.get("transfer-encoding", "") == "chunked":
            while True:
                length = int(self.line().split(";")[0], 16)
                while len(self.buffer) < length + 2:
                    self.fill()
                digest.update(self.buffer[:length])
                self.buffer = self.buffer[length + 2 :]
                size += length
                if length == 0:
                    return digest.hexdigest(), size
        left = int(fields.get("content-length", "0"))
        size = left
        piece, self.buffer = self.buffer[:left], self.buffer[left:]
        digest.update(piece)
        left -= len(piece)
        space = bytearray(1 << 20)
        view = memoryview(space)
        fast = "x-skip-digest" in fields
        while left:
            got = self.sock.recv_into(view, min(left, len(space)))
            if got == 0:
                raise EOFError
            if not fast:
                digest.update(view[:got])
            left -= got
            if pause:
                time.sleep(pause)
        return digest.hexdigest(), size

    def answer(self, status, body=b"", headers=(), close=False):
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if close:
            lines.append("Connection: close")
        self.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)

    def tunnel(self, target):
        host, port = target.rsplit(":", 1)
        other = socket.create_connection((host, int(port)))
        self.sock.sendall(b"HTTP/1.1 200 Connected\r\nX-Proxy: yes\r\n\r\n")

        def copy(source, sink):
            try:
                while data := source.recv(1 << 16):
                    sink.sendall(data)
                sink.shutdown(socket.SHUT_WR)
            except OSError:
                pass

        threading.Thread(target=copy, args=(other, self.sock), daemon=True).start()
        copy(self.sock, other)
        raise EOFError

    def serve(self):
        while True:
            self.handle(*self.read_request())

    def handle(self, method, target, headers):
        if method == "CONNECT":
            count("connect " + target)
            self.tunnel(target)
        parts = urlsplit(target)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        route = parts.path.strip("/").split("/")[0]
        key = query.get("key", "")
        seen = count(key) if key and route != "count" else 0
        if target.startswith("http://"):
            self.read_body(headers)
            self.answer(200, json.dumps({"proxied": target, "headers": headers}).encode())
        elif route == "count":
            self.answer(200, json.dumps(counts.get(key, 0)).encode())
        elif route == "slow-head":
            self.read_body(headers)
            time.sleep(float(query["s"]))
            self.answer(200, b"late")
        elif route == "stall":
            self.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n0123456789")
            time.sleep(30)
        elif route == "drip":
            self.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % int(query["n"]))
            for _ in range(int(query["n"])):
                time.sleep(float(query["s"]))
                self.sock.sendall(b".")
        elif route == "unread":
            time.sleep(30)
        elif route == "slow-read":
            digest, size = self.read_body(headers, float(query["s"]))
            self.answer(200, json.dumps({"sha256": digest, "size": size}).encode())
        elif route == "truncated":
            self.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 100)
            raise EOFError
        elif route == "truncated-chunk":
            self.sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n10\r\nhal")
            raise EOFError
        elif route == "reset-mid":
            self.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 100)
            time.sleep(0.1)
            reset(self.sock)
        elif route == "reset-head" and seen <= int(query.get("times", "1000")):
            self.read_body(headers)
            reset(self.sock)
        elif route == "swallow" and self.requests > int(query.get("after", "0")):
            self.read_body(headers)
            raise EOFError
        elif route == "endless-headers":
            self.sock.sendall(b"HTTP/1.1 200 OK\r\n")
            while True:
                self.sock.sendall(b"X-Filler: " + b"y" * 1000 + b"\r\n")
        elif route == "many-headers":
            self.answer(200, b"", [(f"X-{index}", "1") for index in range(int(query["n"]))])
        elif route == "garbage":
            self.sock.sendall(b"SSH-2.0-OpenSSH_9\r\n")
            raise EOFError
        elif route == "chunked":
            self.sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")
            for index in range(int(query["n"])):
                piece = b"%06d\n" % index
                self.sock.sendall(b"%x\r\n" % len(piece) + piece + b"\r\n")
            self.sock.sendall(b"0\r\nX-Sum: 1\r\n\r\n")
        elif route == "interim":
            self.sock.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            self.answer(200, b"final", [("X-Final", "1")])
        elif route == "bytes":
            left = int(query["n"])
            self.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % left)
            view = memoryview(BLOCK)
            while left:
                left -= self.sock.send(view[: min(left, len(BLOCK))])
        elif route == "range":
            fields = {name.lower(): value for name, value in headers}
            first, last = map(int, fields["range"].removeprefix("bytes=").split("-"))
            self.answer(206, BLOCK[first : last + 1], [("Content-Range", f"bytes {first}-{last}/{len(BLOCK)}")])
        elif route == "gzip":
            self.answer(200, gzip.compress(b"z" * int(query["n"])), [("Content-Encoding", "gzip")])
        elif route == "redirect":
            self.read_body(headers)
            self.answer(int(query.get("status", "302")), b"", [("Location", query["to"])])
        elif route == "flaky" and seen <= int(query["times"]):
            self.read_body(headers)
            extra = [("Retry-After", query["after"])] if "after" in query else []
            self.answer(int(query["status"]), b"not now", extra)
        elif route == "early":
            self.answer(413, b"too large", close=True)
            self.sock.shutdown(socket.SHUT_WR)
            while self.sock.recv(1 << 16):
                pass
            raise EOFError
        else:
            digest, size = self.read_body(headers)
            document = {
                "method": method, "target": target, "headers": headers, "size": size, "sha256": digest,
                "connection": self.number, "count": seen,
            }
            body = json.dumps(document).encode()
            if method == "HEAD":
                self.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n")
            else:
                self.answer(200, body)


def run(sock, number, context):
    try:
        if context:
            sock = context.wrap_socket(sock, server_side=True)
        Connection(sock, number).serve()
    except (EOFError, OSError, ValueError):
        pass
    finally:
        sock.close()


def main():
    context = None
    if len(sys.argv) > 1:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[1], sys.argv[2])
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    # Of its connections: what waits here to be read counts as sent at the other end.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 512 << 10)
    print(listener.getsockname()[1], flush=True)

    def accept():
        number = 0
        while True:
            sock, _ = listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            number += 1
            threading.Thread(target=run, args=(sock, number, context), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()


main()
