"""A server that tests run in a process of its own.

`python -m tests.transports.serving.serve_child ADAPTER WHAT [ARGUMENT]`:

`port N`: on this port of 127.0.0.1, shared with other processes. `activated`: on the sockets of a service manager.
`few N`: on a free port, with no more than N descriptors.

It prints a line of JSON when it listens, and another when its standard input has ended and it is closed.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
from typing import Any

from dicos_transports.addresses import ListenFailed, handed_over
from tests.transports.servers import serving


def main() -> None:
    adapter, what, *arguments = sys.argv[1:]
    logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stderr, level=logging.ERROR)
    where: Any = ("127.0.0.1", 0)
    options: dict[str, Any] = {}
    if what == "port":
        where, options["reuse_port"] = ("127.0.0.1", int(arguments[0])), True
    elif what == "activated":
        try:
            where = handed_over()
        except ListenFailed as error:
            print(json.dumps({"error": str(error)}), flush=True)
            return
        if not where:
            print(json.dumps({"handed_over": 0}), flush=True)
            return
    with serving(adapter, where=where, **options) as running:
        if what == "few":
            used = max(int(name) for name in os.listdir("/proc/self/fd"))
            resource.setrlimit(resource.RLIMIT_NOFILE, (used + int(arguments[0]), used + int(arguments[0])))
        print(json.dumps({"address": running.address, "pid": os.getpid()}), flush=True)
        sys.stdin.read()
        metrics = running.metrics
    print(json.dumps({"accepted": metrics.accepted, "connections": metrics.connections}), flush=True)


if __name__ == "__main__":
    main()
