# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The beginning of `make soak`: some thousand sessions, from a client that is fast."""
import subprocess
import sys
from pathlib import Path

RUN = Path(__file__).resolve().parent.parent / "soak" / "run.py"
N_SESSIONS = 5000


def test_short_soak_finds_nothing(build, datapath):
    options = ["--copy"] if datapath == "copy" else []
    options += ["--busy", "--build", build, "--sessions", N_SESSIONS]
    done = subprocess.run(
        [str(word) for word in (sys.executable, RUN, *options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0
