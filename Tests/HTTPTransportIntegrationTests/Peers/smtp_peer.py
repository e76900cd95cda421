"""A mail server that keeps what it gets as JSON lines, with refusals to order. Ends when its standard input does.

Usage: smtp_peer.py OUTPUT MODE [CERTIFICATE KEY], where MODE is plain, starttls or tls.
"""

import base64
import json
import socket
import ssl
import sys
import threading

output, mode = sys.argv[1], sys.argv[2]
context = None
if len(sys.argv) > 3:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[3], sys.argv[4])


class Session:
    def __init__(self, sock):
        self.sock, self.reader, self.secure = sock, sock.makefile("rb"), mode == "tls"
        self.mail = {"recipients": [], "login": None}

    def say(self, text):
        self.sock.sendall(text.encode() + b"\r\n")

    def serve(self):
        self.say("220 peer ESMTP")
        while line := self.reader.readline():
            verb = line.strip().decode("latin-1")
            if not self.command(verb):
                return

    def command(self, verb):
        word = verb.split(" ")[0].upper()
        if word == "EHLO":
            self.mail["ehlo"] = verb[5:]
            offers = ["peer", "AUTH PLAIN"] + (["STARTTLS"] if mode == "starttls" and not self.secure else [])
            for offer in offers[:-1]:
                self.say("250-" + offer)
            self.say("250 " + offers[-1])
        elif word == "STARTTLS":
            self.say("220 go")
            self.sock = context.wrap_socket(self.sock, server_side=True)
            self.reader, self.secure = self.sock.makefile("rb"), True
        elif word == "AUTH":
            parts = verb.split(" ")
            if len(parts) < 3:
                self.say("334 ")
                parts.append(self.reader.readline().strip().decode())
            login = base64.b64decode(parts[2]).decode().split("\0")[1:]
            self.mail["login"] = login
            self.say("235 ok" if login[1] == "right" else "535 5.7.8 bad credentials")
        elif word == "MAIL":
            self.mail["from"] = verb
            self.say("250 ok")
        elif word == "RCPT":
            if "nobody@" in verb:
                self.say("550 5.1.1 no such user")
            elif "later@" in verb:
                self.say("451 4.3.0 try again later")
            else:
                self.mail["recipients"].append(verb)
                self.say("250 ok")
        elif word == "DATA":
            self.say("354 go")
            raw = b""
            while (line := self.reader.readline()) != b".\r\n":
                raw += line
            self.mail.update(raw=raw.decode("latin-1"), secure=self.secure)
            with open(output, "a") as file:
                file.write(json.dumps(self.mail) + "\n")
            self.say("250 taken")
        elif word == "QUIT":
            self.say("221 bye")
            return False
        else:
            self.say("250 ok")
        return True


def run(sock):
    try:
        if mode == "tls":
            sock = context.wrap_socket(sock, server_side=True)
        Session(sock).serve()
    except (OSError, ValueError, IndexError):
        pass
    finally:
        sock.close()


listener = socket.create_server(("127.0.0.1", 0), backlog=16)
print(listener.getsockname()[1], flush=True)


def accept():
    while True:
        threading.Thread(target=run, args=(listener.accept()[0],), daemon=True).start()


threading.Thread(target=accept, daemon=True).start()
sys.stdin.read()
