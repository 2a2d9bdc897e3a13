# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""`make run`: the demo forwards to its own two servers, and goes without a trace."""
import re
import signal
import subprocess
from pathlib import Path

import pytest

from lib.peers import connect, is_refused, listen, read_all
from lib.wait import LIMIT_S, wait_until

WEB = "127.0.0.1:8080"


class Demo:
    def __init__(self, program, folder):
        self.output = folder / "demo.out"
        with open(self.output, "w") as output:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", program],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def wait_until_ready(self):
        wait_until(lambda: "| ready" in self.output.read_text(), "g5x is ready")

    def rule_file(self):
        return Path(re.search(r"/tmp/g5x-demo-\w+", self.output.read_text())[0])

    def end(self, number):
        self.process.send_signal(number)
        return self.process.wait(LIMIT_S)


@pytest.fixture
def demo(build, tmp_path):
    demo = Demo(build / "g5x-demo", tmp_path)
    yield demo
    demo.process.kill()
    demo.process.wait()
    print(demo.output.read_text())
    for path in re.findall(r"/tmp/g5x-demo-\w+", demo.output.read_text()):
        Path(path).unlink(missing_ok=True)  # a killed demo could not


def get(path):
    with connect(WEB) as client:
        client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        return read_all(client).decode().rpartition("\r\n")[2]


def test_demo_servers_take_turns(demo):
    demo.wait_until_ready()
    assert [get(f"/{n}") for n in range(4)] == [
        "hello from backend A: /0\n",
        "hello from backend B: /1\n",
        "hello from backend A: /2\n",
        "hello from backend B: /3\n",
    ]


def test_demo_ends_with_status_0_and_takes_its_rule_file_along(demo):
    demo.wait_until_ready()
    rule_file = demo.rule_file()
    assert rule_file.exists()
    assert demo.end(signal.SIGTERM) == 0
    assert not rule_file.exists()
    assert is_refused(WEB)


def test_g5x_ends_when_the_demo_is_killed(demo):
    demo.wait_until_ready()
    rule_file = demo.rule_file()
    demo.end(signal.SIGKILL)
    wait_until(lambda: is_refused(WEB), "g5x has ended")
    rule_file.unlink()


@pytest.mark.parametrize("port", [8080, 8060, 18081, 18082])
def test_demo_names_the_port_that_is_taken(build, port):
    with listen(f"127.0.0.1:{port}"):
        done = subprocess.run(
            [build / "g5x-demo"],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    assert done.returncode == 1
    assert f"port {port}" in done.stderr
    assert done.stderr.count("\n") == 1
