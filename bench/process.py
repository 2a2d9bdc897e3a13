# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Starting and ending programs: pinned, with enough fds, and never outliving us."""
import ctypes
import os
import resource
import signal
import subprocess

FD_LIMIT_WANTED = 65536
PR_SET_PDEATHSIG = 1
STOP_S = 5
_libc = ctypes.CDLL(None, use_errno=True)


def raise_fd_limit():
    """As far as we may; returns the limit that every program will have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (FD_LIMIT_WANTED, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, max(limit, hard)))
            return limit
        except (ValueError, PermissionError):
            continue
    return soft


def start(command, cpus, **options):
    def prepare():
        os.sched_setaffinity(0, cpus)
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    return subprocess.Popen(
        [str(word) for word in command], preexec_fn=prepare, **options
    )


def stop(process):
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def family(pid):
    """`pid` and all that descend from it."""
    pids = [pid]
    for each in pids:
        try:
            for task in os.listdir(f"/proc/{each}/task"):
                with open(f"/proc/{each}/task/{task}/children", encoding="ascii") as f:
                    pids += [int(word) for word in f.read().split()]
        except OSError:  # it has ended meanwhile
            continue
    return pids
