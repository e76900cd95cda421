"""Hands connections on to a port of this machine, but only while the file in its second argument exists; before that
it closes them. Prints its own port; ends when its standard input does."""

import os
import socket
import socketserver
import sys
import threading

target, gate = int(sys.argv[1]), sys.argv[2]


def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


class Relay(socketserver.BaseRequestHandler):
    def handle(self):
        if not os.path.exists(gate):
            return
        with socket.create_connection(("127.0.0.1", target)) as other:
            back = threading.Thread(target=pump, args=(other, self.request), daemon=True)
            back.start()
            pump(self.request, other)
            back.join()


server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
