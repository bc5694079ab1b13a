"""Coroutines that never suspend, run by ordinary code: how `blocking` offers the one session.

A blocking driver waits inside the call. A coroutine over it therefore runs from its first line to its last within one
`send(None)`, and nobody has to wake it up. A face is an object of ordinary methods over one of coroutine methods
(`Faces`): each of its methods is `waited` or `passed`, with the docstring and the parameters of the one it stands for.

Knows: coroutines. Must not know: sessions, drivers, threads.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast

__all__ = ["Faces", "documented", "finished", "passed", "waited"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
A = TypeVar("A")
P = ParamSpec("P")
F = TypeVar("F", bound=Callable[..., object])


class Faces(Protocol[T_co]):
    """An object with ordinary methods, and the object with coroutine methods that it wraps."""

    @property
    def awaited(self) -> T_co: ...


def finished(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends. Raises RuntimeError for one that does, and closes it."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise _suspended(coroutine)


def waited(method: Callable[Concatenate[A, P], Coroutine[Any, Any, T]]) -> Callable[Concatenate[Faces[A], P], T]:
    """The method of a face that finishes this coroutine method of the object behind it."""
    name = method.__name__

    @wraps(method)
    def call(self: Faces[A], /, *args: P.args, **options: P.kwargs) -> T:
        coroutine: Coroutine[Any, Any, T] = getattr(self.awaited, name)(*args, **options)
        try:
            coroutine.send(None)
        except StopIteration as done:
            result: T = done.value
            return result
        raise _suspended(coroutine)

    return call


def passed(method: Callable[Concatenate[A, P], T]) -> Callable[Concatenate[Faces[A], P], T]:
    """The method of a face that calls this ordinary method of the object behind it."""
    name = method.__name__

    @wraps(method)
    def call(self: Faces[A], /, *args: P.args, **options: P.kwargs) -> T:
        return cast(T, getattr(self.awaited, name)(*args, **options))

    return call


def documented(model: Callable[..., object]) -> Callable[[F], F]:
    """A decorator: the function has the docstring of `model`."""

    def document(function: F) -> F:
        function.__doc__ = model.__doc__
        return function

    return document


def _suspended(coroutine: Coroutine[Any, Any, Any]) -> RuntimeError:
    coroutine.close()
    return RuntimeError("a coroutine suspended where nothing would wake it up")
