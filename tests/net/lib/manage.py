# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""A client of the management port: sends a line, reads up to the prompt."""
from lib.peers import connect

ADMIN = "127.0.0.1:8999"
PROMPT = b"> "


class Manage:
    def __init__(self, address, source=None):
        self.sock = connect(address, source)
        self.greeting = self.read_answer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def read_answer(self):
        """What comes before the next prompt. A prompt starts a line."""
        data = b""
        while data != PROMPT and not data.endswith(b"\n" + PROMPT):
            part = self.sock.recv(65536)
            assert part, f"FIN after {data!r}"
            data += part
        return data[: -len(PROMPT)].decode(errors="surrogateescape")

    def ask(self, line):
        """The whole answer, line ends included, without its prompt."""
        self.send(line.strip("\n").encode() + b"\r\n")
        return self.read_answer()
