# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The maps that a daemon has pinned, as bpftool shows them to anybody."""
import json
import os
import subprocess

from lib.peers import address_of

os.environ["PATH"] += ":/usr/sbin:/sbin"  # bpftool is not on everybody's path


def bpftool(*words):
    command = ["bpftool", "-j", *[str(word) for word in words]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


class Pins:
    def __init__(self, folder):
        self.folder = folder

    def names(self):
        return sorted(os.listdir(self.folder)) if self.folder.is_dir() else []

    def dump(self, name):
        """Keys and values with the names of their fields."""
        rows = bpftool("map", "dump", "pinned", self.folder / name)
        assert all("formatted" in row for row in rows), f"{name}: bytes without names"
        return [row["formatted"] for row in rows]

    def sessions(self):
        """{number: fields} of those that are spliced."""
        rows = {row["key"]: row["value"] for row in self.dump("sessions")}
        return {n: s for n, s in rows.items() if s["state"] != "G5X_NOT_SPLICED"}

    def session(self, client):
        """Fields of the session that this client's socket belongs to."""
        address = address_of(client)
        found = [s for s in self.sessions().values() if s["client"] == address]
        assert len(found) == 1, f"{len(found)} sessions of {address}"
        return found[0]

    def totals(self):
        return self.dump("totals")[0]["value"]

    def is_any_left(self):
        """Of any session anything: for when all have ended."""
        rows = [row["value"] for row in self.dump("sessions")]
        return any(has_value(row) for row in rows) or bool(self.dump("slots"))


class BypassPins(Pins):
    """Of the sessions that go past their daemon."""

    def __init__(self, folder):
        super().__init__(folder / "bypass")

    def sessions(self):
        """{number: fields} of those that are bypassed."""
        rows = {row["key"]: row["value"] for row in self.dump("sessions")}
        return {n: s for n, s in rows.items() if s["flow"][0]["our_cookie"]}

    def has(self, client):
        """Is the session of this client's socket bypassed?"""
        address = address_of(client)
        return any(s["client"] == address for s in self.sessions().values())

    def n_direct(self, client):
        """Bytes that its daemon never saw: from the client, from the server."""
        return [flow["direct"] for flow in self.session(client)["flow"]]

    def n_applications(self):
        """Sockets that talk to its daemon."""
        return len(bpftool("map", "dump", "pinned", self.folder / "applications"))

    def is_any_left(self):
        return bool(self.sessions()) or bool(self.dump("ways"))


def has_value(field):
    """Is there anything in it but zeros and empty strings?"""
    if isinstance(field, dict):
        return any(has_value(part) for part in field.values())
    if isinstance(field, list):
        return any(has_value(part) for part in field)
    return field not in (0, "", "G5X_NOT_SPLICED")


def n_switches(session):
    """Times that bytes began to be passed up to the daemon, both ways together."""
    return sum(flow["n_switches"] for flow in session["flow"])


def n_moved(session, by):
    """Bytes of both directions; by: "redirected" (the kernel) or "passed" (up)."""
    return sum(flow[by] for flow in session["flow"])
