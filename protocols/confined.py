"""The entry of a step process: it gives up what it may not have before it loads anything of size, and then waits.

`--warm` loads every protocol while nothing is to be done yet. Its part, and the open files that belong to it, come over
the one socket it was given.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import os
import resource
import socket

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38
SIGKILL = 9


def seal() -> bool:
    """No core dumps, no debugger, no new privileges, an end with the daemon's; whether it has no network any more.

    Without privilege the network goes with a user namespace, which only a process of one thread may enter: so this
    comes before any library that starts threads.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    flags = CLONE_NEWNET if os.geteuid() == 0 else CLONE_NEWUSER | CLONE_NEWNET
    return bool(libc.unshare(flags) == 0)


def main(fd: int, *, warm: bool) -> None:
    """Wait for a step, run it, and end."""
    isolated = seal()
    from parley.protocols.kit import child, spare
    from parley.wire.buffers import keep_freed

    keep_freed()
    if warm:
        child.warm()
    sock = socket.socket(fileno=fd)
    if (fds := spare.given_files(sock)) is not None:
        asyncio.run(child.serve(sock, fds, isolated))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--warm", action="store_true")
    asked = parser.parse_args()
    main(asked.fd, warm=asked.warm)
