# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""SSH: commands, and files through its stream, with a server and keys of its own."""
import hashlib
import os
import time
from pathlib import Path

import pytest

from lib.peers import digest, stream_of
from programs import host_and_port, run

SERVER = "127.0.0.1:2222"
SIZE = 64 << 20
CONFIGURATION = """
ListenAddress 127.0.0.1:2222
HostKey {folder}/host
AuthorizedKeysFile {folder}/client.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
MaxStartups 100
"""


@pytest.fixture(scope="module")
def servers(programs, folder):
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # it insists
    for key in ("host", "client"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key)
    (folder / "sshd_config").write_text(CONFIGURATION.format(folder=folder))
    (folder / "sent").write_bytes(stream_of(SIZE, 0))
    command = ["/usr/sbin/sshd", "-D", "-e", "-f", folder / "sshd_config"]
    programs.start(*command, address=SERVER)
    return {"ssh": SERVER}


@pytest.fixture
def options(folder):
    return [
        *("-F", "none", "-i", folder / "client", "-o", "IdentitiesOnly=yes"),
        *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
        *("-o", "LogLevel=ERROR", "-o", "BatchMode=yes"),
    ]


@pytest.fixture
def ssh(options):
    def start(way, *command, **more):
        host, port = way["ssh"].split(":")
        return run("ssh", *options, "-p", port, f"root@{host}", *command, **more)

    return start


def test_a_stream_to_the_server_is_what_was_sent(way, ssh, folder):
    with open(folder / "sent", "rb") as sent:
        said = ssh(way, "sha256sum", stdin=sent)
    assert said.split()[0] == hashlib.sha256(stream_of(SIZE, 0)).hexdigest()


def test_a_stream_from_the_server_is_what_it_has(way, ssh, folder):
    got = ssh(way, f"cat {folder}/sent", text=False)
    assert digest(got) == digest(stream_of(SIZE, 0))


def test_a_stream_there_and_back_is_what_was_sent(way, ssh, folder):
    with open(folder / "sent", "rb") as sent:
        got = ssh(way, "cat", stdin=sent, text=False)
    assert digest(got) == digest(stream_of(SIZE, 0))


def test_sftp_brings_a_file_there_and_back(way, options, folder):
    host, port = way["ssh"].split(":")
    batch = f"put {folder}/sent {folder}/there\nget {folder}/there {folder}/back\n"
    run("sftp", *options, "-P", port, "-b", "-", f"root@{host}", input=batch)
    assert digest((folder / "back").read_bytes()) == digest(stream_of(SIZE, 0))
    for name in ("there", "back"):
        (folder / name).unlink()


def test_exit_status_and_errors_of_a_command_come_through(way, ssh):
    with pytest.raises(AssertionError, match="exit status 7\n\nthis went wrong"):
        ssh(way, "echo this went wrong >&2; exit 7")


def test_ssh_moves_a_file(compare, ssh, folder):
    def measure(way):
        started = time.monotonic()
        with open(folder / "sent", "rb") as sent:
            ssh(way, "cat > /dev/null", stdin=sent)
        to_server = time.monotonic()
        ssh(way, f"cat {folder}/sent", stdout=open(os.devnull, "wb"))
        seconds = (to_server - started, time.monotonic() - to_server)
        names = ("ssh to the server, Gbit/s", "ssh from the server, Gbit/s")
        return {name: SIZE * 8e-9 / n for name, n in zip(names, seconds)}

    compare(measure)
