# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""A daemon with a guard, and clients that come to it by the wire of a Neighbour."""
import re
import socket

from lib.manage import ADMIN, Manage
from lib.namespace import Neighbour
from lib.peers import visit

HERE, THERE = Neighbour.HERE, Neighbour.THERE
STRANGER = f"{Neighbour.NET}.3"
WEB = f"{HERE}:8000"
SILENCE_S = 0.3


def gets_no_answer(address, source=None):
    """Not even a refusal, to a SYN and perhaps a second one."""
    host, port = address.rsplit(":", 1)
    with socket.socket() as client:
        client.settimeout(SILENCE_S)
        if source:
            client.bind((source, 0))
        try:
            client.connect((host, int(port)))
        except TimeoutError:
            return True
        except OSError:
            return False
        return False


class Guarded:
    """A daemon with a guard, and a client that comes by the wire."""

    def __init__(self, g5x, neighbour):
        self.g5x, self.neighbour = g5x, neighbour

    def rules(self, rules, words="here", head=""):
        return f"( guard {words} {head} )\n{self.g5x.rule('admin', 'G', ADMIN)}{rules}"

    def start(self, rules, words="here", head=""):
        self.g5x.start(self.rules(rules, words, head), "--bpffs", self.g5x.bpffs)
        self.g5x.wait_for_log("guard on here: ")

    def reload(self, rules, words="here", head=""):
        self.g5x.reload(self.rules(rules, words, head))
        self.g5x.wait_for_log("reloaded")

    def visit(self, address=WEB, source=None):
        return self.neighbour.run(visit, address, source)

    def gets_no_answer(self, address=WEB, source=None):
        return self.neighbour.run(gets_no_answer, address, source)

    def ask(self, line):
        with Manage(ADMIN) as manage:
            return manage.ask(line)

    def count(self, reason, listener=WEB, kind="dropped"):
        """Of `list guard`; reason "passed" and "reset" have no kind."""
        answer = self.ask("list guard")
        line = re.search(rf"^listener {re.escape(listener)} (.*?)\r$", answer, re.M)[1]
        if reason not in ("passed", "reset"):
            line = re.search(rf"{kind}: (.*?=.*?)(?: would|$)", line)[1]
        return int(re.search(rf"\b{reason}=(\d+)", line)[1])
