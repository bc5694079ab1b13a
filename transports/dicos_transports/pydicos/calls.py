"""Calls the methods of a server's callback object, in a thread of their own for each session.

Knows: plain Python objects with some of the original's methods. Must not know: networks. Invariants: what a method
raises ends that call alone; the calls of one session come one after the other, those of several at the same time.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

__all__ = ["CallFailed", "Calls", "Device", "described", "fitting", "is_in_call", "is_later"]

_here = threading.local()


class CallFailed(Exception):
    """A callback's method raised; the text names the method and the exception's type, not its text, which may hold what
    was received."""


class Device(str):
    """The address of a client, with what else is known of it: plain text for methods that want an address."""

    __slots__ = ("application", "server_ip", "server_port", "user")

    application: str
    user: str
    server_ip: str
    server_port: int

    @classmethod
    def of(cls, ip: str, *, application: str, user: str, server_ip: str, server_port: int) -> Self:
        """Makes one."""
        made = cls(ip)
        made.application, made.user = application, user
        made.server_ip, made.server_port = server_ip, server_port
        return made

    def GetClientIP(self) -> str:
        """Returns the address of the client."""
        return str(self)

    def GetServerIP(self) -> str:
        """Returns the address that it has connected to."""
        return self.server_ip

    def GetServerPort(self) -> int:
        """Returns the port that it has connected to."""
        return self.server_port


class Calls:
    """The calls of one session. A context manager: at its end the calls that wait are made, and the thread ends."""

    def __init__(self, callback: Callable[[], object]) -> None:
        """`callback`: returns the object whose methods are called, each time, since it may be replaced."""
        self._callback = callback
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="DcsServer callback")

    def has(self, name: str) -> bool:
        """Returns True if the object has this method, or fails to say so: then `call` raises `CallFailed`."""
        try:
            return callable(getattr(self._callback(), name, None))
        except Exception:  # of a property or `__getattr__`
            return True

    def call(self, name: str, *arguments: object) -> Any:
        """Calls a method with as many of the arguments as it takes, and waits for its result. None if the object has no
        such method. Raises `CallFailed`, also for a coroutine or a generator, of which nothing has run."""
        if not self.has(name):
            return None
        future = self._executor.submit(self._called, name, arguments)
        error = future.exception()
        if error is not None:  # the method's own, SystemExit too: it must not end the session's thread
            raise CallFailed(described(name, error)) from error
        result = future.result()
        if is_later(result):
            raise CallFailed(f"{name} returned a {type(result).__name__}: it has to be a plain method")
        return result

    def _called(self, name: str, arguments: tuple[object, ...]) -> Any:
        _here.in_call = True
        method = getattr(self._callback(), name)
        return method(*fitting(method, arguments))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown()


def is_in_call() -> bool:
    """Returns True in the thread of a callback's method."""
    return getattr(_here, "in_call", False)


def is_later(result: object) -> bool:
    """Returns True for what a method gives that has not done its work: a coroutine or a generator, which is closed."""
    if not (inspect.isawaitable(result) or inspect.isgenerator(result) or inspect.isasyncgen(result)):
        return False
    if inspect.iscoroutine(result):
        result.close()  # or Python would warn that nobody has awaited it
    return True


def fitting(method: Callable[..., Any], arguments: tuple[object, ...]) -> tuple[object, ...]:
    """Returns as many of the arguments as the method takes: programs write these methods with more or fewer."""
    try:
        parameters = inspect.signature(method).parameters.values()
    except (TypeError, ValueError):  # a builtin without a signature
        return arguments
    if any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return arguments
    taken = sum(one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) for one in parameters)
    return arguments[:taken]


def described(name: str, error: BaseException) -> str:
    """Returns what the method of this name raised and where, without the text of the exception, which may hold what was
    received."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else f" in {trace.tb_frame.f_code.co_name}, line {trace.tb_lineno}"
    return f"{name} raised {type(error).__name__}{where}"
