"""The smallest adapter: the events of one association over one socket, without flows."""

import selectors
import socket
from collections.abc import Iterator
from time import monotonic

from dicos_proto import Association, Buffer, Closed, Event

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


def events(sock: socket.socket, association: Association) -> Iterator[Event]:
    """Yield every event until the connection is closed. Between two events the caller may send."""
    sock.setblocking(False)
    unsent: list[Buffer] = []  # taken from the engine, not yet accepted by the kernel
    with sock, selectors.DefaultSelector() as selector:
        selector.register(sock, READ)
        while True:
            if association.bytes_queued < association.terms.limits.queued:  # else no more answers are to be made now
                event = association.next_event()
                if event is not None and not isinstance(event, Closed):
                    yield event
                    continue
            unsent = unsent or [*association.data_to_send()]
            if association.wants_close and not unsent:
                return
            selector.modify(sock, (READ if association.wants_read else 0) | (WRITE if unsent else 0))
            deadline = association.deadline(monotonic())
            ready = selector.select(None if deadline is None else max(0.0, deadline.at - monotonic()))
            association.handle_timeout(monotonic())
            for _, mask in ready:
                try:
                    if mask & READ:
                        if data := sock.recv(1 << 18):
                            association.receive_data(data)
                        else:
                            association.receive_eof()
                    if mask & WRITE:
                        sent = sock.sendmsg(unsent[:1024])
                        while unsent and sent >= len(unsent[0]):
                            sent -= len(unsent.pop(0))
                        if sent:
                            unsent[0] = memoryview(unsent[0])[sent:]
                except BlockingIOError:
                    pass
                except OSError:
                    unsent.clear()
                    association.receive_eof()
