"""Addresses of peers and servers (host and port, or a Unix socket), listening sockets, and texts for socket errors.

Knows: the sockets of the operating system. Must not know: associations, event loops. Every listening socket is bound
here, or taken here from a service manager. The module is long because users import both from here.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import NoneType
from typing import Any, Final

from dicos_proto.arguments import kind_of
from dicos_proto.errors import ProtocolError
from dicos_proto.upper_layer.titles import is_title

__all__ = [
    "DEFAULT_CALLED",
    "KEEPALIVE",
    "Address",
    "ListenFailed",
    "Listening",
    "NamedAddress",
    "SourceAddress",
    "handed_over",
    "keep_alive",
    "parse_address",
    "peer_of",
    "unreachable",
]
"""For users and for other adapters. The rest is for the adapters and the command of this package."""

BACKLOG: Final = 128
FULL_AGAIN: Final = 0.02
"""Seconds before another attempt to connect to a Unix socket whose backlog is full: the system does not wait for it."""
PREFIX: Final = 8
"""Bytes of an IPv6 address that name a network; its owner can choose the other half freely [RFC 4291 2.5.4]."""
MAPPED: Final = bytes(10) + b"\xff\xff"
"""The first bytes of an IPv6 address that stands for an IPv4 address [RFC 4291 2.5.5.2]."""
FIRST_HANDED_OVER: Final = 3
"""The first file descriptor of a service manager's sockets, sd_listen_fds(3)."""

DEFAULT_CALLED: Final = "ANY-SCP"
"""The called AE title for a peer whose title is not known."""
KEEPALIVE: Final = 60.0
"""Seconds of silence before TCP keepalive probes check the peer's host; it counts as gone after as long again."""
PROBES: Final = 6
"""Number of keepalive probes in that time."""
LONGEST_KEEPALIVE: Final = 32_767
"""Most seconds of silence that tcp(7) allows."""

Address = tuple[str, int] | str | os.PathLike[str]
"""(host, port); `"host:port"`, `"[::1]:port"` or `"AET@host:port"` (`parse_address`); or the path of a Unix socket.

A string is a path if it has a slash, or neither a port nor an @. A `Path` is always a path. On Linux, a path that
begins with NUL is an abstract name without a file."""
SourceAddress = str | tuple[str, int]
"""The local address of outgoing connections: `"10.0.0.5"`, or (address, port), with port 0 for any free one."""
Listening = Address | socket.socket | Sequence[Address | socket.socket]
"""Where a server listens: an address, a listening socket, or a list of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedAddress:
    """The address of a peer with its AE title, if it has one; returned by `parse_address`."""

    host: str
    port: int
    aet: str | None = None

    @property
    def where(self) -> tuple[str, int]:
        """(host, port), for `connect` and `serve`."""
        return self.host, self.port

    def __str__(self) -> str:
        return f"{self.aet}@{show_address(self.where)}" if self.aet is not None else show_address(self.where)


def parse_address(text: str) -> NamedAddress:
    """Parse `host:port`, `[::1]:port`, `[fe80::1%eth0]:port`, with or without `AET@` in front. Raises ValueError."""
    title, at, place = text.rpartition("@")
    aet = title.strip(" ") if at else None
    if aet is not None and not is_title(aet):
        raise ValueError(
            f"{text!a}: {aet!a} before the @ is not an AE title: 1 to 16 ASCII characters, no backslash, no control "
            "characters, not only spaces"
        )
    host, colon, number = place.rpartition(":")
    if place.endswith("]") or not colon:
        raise ValueError(f"{text!a}: no port; expected HOST:PORT, where the usual DICOM ports are 104 and 11112")
    if not (number.isascii() and number.isdigit() and len(number) <= 5 and int(number) <= 0xFFFF):
        raise ValueError(f"{text!a}: port {number!a}: expected 0 to 65535")
    return NamedAddress(host=parse_host(host, text), port=int(number), aet=aet)


def parse_host(host: str, text: str | None = None) -> str:
    """Parse the host in the address `text`, and remove the brackets of an IPv6 address. Raises ValueError."""
    seen = ascii(host if text is None else text)
    if host.startswith("[") and host.endswith("]"):
        address, percent, zone = host[1:-1].partition("%")
        if not is_ipv6(address) or (percent and not zone):
            raise ValueError(f"{seen}: {host!a} is not an IPv6 address in brackets, such as [::1] or [fe80::1%eth0]")
        return host[1:-1]
    if ":" in host:
        example = host if is_ipv6(host) else "::1"
        raise ValueError(f"{seen}: an IPv6 address is written in brackets: [{example}]:PORT")
    if not host:
        raise ValueError(f"{seen}: no host; expected HOST:PORT")
    if _NO_HOST.search(host):
        raise ValueError(f"{seen}: {host!a} is not a host: a name or an address, without spaces, slashes and brackets")
    return host


_NO_HOST: Final = re.compile(r"[\x00-\x20\x7f/\\\[\]@?#]")


def is_ipv6(text: str) -> bool:
    """Return True for an IPv6 address without brackets and without a zone."""
    try:
        socket.inet_pton(socket.AF_INET6, text)
    except (OSError, ValueError):
        return False
    return True


def is_address(text: str) -> bool:
    """Return True for an IPv4 or IPv6 address without a port."""
    try:
        socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError):
        return is_ipv6(text)
    return True


def is_network_address(text: str) -> bool:
    """Return True if the string, used as an `Address`, names a host and port, and not the path of a Unix socket."""
    if "/" in text or "\0" in text:
        return False
    return text.startswith("[") or text.find("@") > 0 or re.search(r":\d+\Z", text, re.ASCII) is not None


def source_of(source: SourceAddress, *, unix: bool) -> tuple[int, Any]:
    """Return the family of a source address, and the address to bind a socket to. Raises ValueError.

    A name is not valid, because it may stand for several addresses. `unix`: True for a connection to a Unix socket.
    """
    if unix:
        raise ValueError("a Unix socket has no source address")
    host, port = source if isinstance(source, tuple) else (source, 0)
    try:
        check_port(port)
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError, OverflowError, ValueError) as error:
        why = said(error) if isinstance(error, OverflowError) else "not an address of this host, such as 10.0.0.5"
        raise ValueError(f"source address {show_address(source)!a}: {why}") from None
    return found[0][0], found[0][4]


def matching(found: Sequence[Any], family: int, source: SourceAddress) -> list[Any]:
    """Return those results of `getaddrinfo` that have the family of the source address. Raises `NoSource`."""
    fit = [one for one in found if one[0] == family]
    if not fit:
        kind = "IPv6" if family == socket.AF_INET6 else "IPv4"
        raise NoSource(None, f"source address {show_address(source)} is {kind}, but the host has no {kind} address")
    return fit


def bound_socket(family: int, kind: int, protocol: int, address: Any, source: SourceAddress) -> socket.socket:
    """Return a socket bound to the source address, to be connected. Raises `NoSource`."""
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a fixed port can be used again at once
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise NoSource(None, f"source address {show_address(source)}: {said(error)}") from error
    return sock


def unreachable(where: object, why: str) -> str:
    """Return the text for a failed connection; it mentions if a string was taken as the path of a Unix socket."""
    if isinstance(where, str) and "/" not in where and "\0" not in where:
        return f"no connection to the Unix socket {where!a}: {why}; an address is HOST:PORT"
    return f"no connection to {show_address(where)}: {why}"


def is_plain(where: object) -> bool:
    """Return True for plain data, such as text or a number: it is an address, or a mistake. Other objects may be
    connections, of kinds that only an adapter knows."""
    one = where[0] if isinstance(where, tuple) and where else where
    return isinstance(one, str | os.PathLike | bytes | int | float | tuple | list | dict | NoneType)


def check_address(where: object, call: str, wanted: str = "an address") -> None:
    """Refuse everything that is not an `Address`, where `call` is the call it is an argument of. Raises TypeError."""
    hint = '; an address is (host, port), "host:port" or the path of a Unix socket'
    if isinstance(where, tuple) and len(where) == 2 and isinstance(where[0], str):
        if isinstance(where[1], int):
            return
        if isinstance(where[1], str) and where[1].isdecimal():
            raise TypeError(f"{call}: the port is a str; write ({where[0]!a}, {int(where[1])})")
    if not isinstance(where, str | os.PathLike):
        raise TypeError(f"{call}: {kind_of(where)} in place of {wanted}{hint}")


class NoSource(OSError):
    """The source address cannot be used, for any address of the peer."""


def check_keepalive(seconds: float | None) -> None:
    """Raise ValueError for a keepalive time that systems do not accept."""
    if seconds is not None and not 1 <= seconds <= LONGEST_KEEPALIVE:
        raise ValueError(f"keepalive of {seconds:g} s; 1 to {LONGEST_KEEPALIVE}, or None for none")


def keep_alive(sock: Any, seconds: float | None) -> None:
    """Set TCP keepalive on a connected socket, or turn it off for None. Sockets of other kinds are left as they are.

    After `seconds` of silence the system sends probes to the peer's host. If none is answered for as long again, the
    connection is lost. Without keepalive, the connection to a host that was switched off would stay open forever.
    """
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with suppress(OSError):  # the connection is lost already, or the system lacks the option
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, seconds is not None)
        if seconds is not None:
            idle = getattr(socket, "TCP_KEEPIDLE", getattr(socket, "TCP_KEEPALIVE", None))  # Linux, macOS
            if idle is not None:
                sock.setsockopt(socket.IPPROTO_TCP, idle, round(seconds))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, round(seconds / PROBES)))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)


class ListenFailed(ProtocolError):
    """A server cannot listen on an address; one line with the address and the cause."""


def said(error: Exception) -> str:
    """Return the system's text for an error, as the end of a sentence."""
    if isinstance(error, TimeoutError) and error.errno is None:
        return "timed out"
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        # Event loops add the address to the text, each in its own way; callers have named it already.
        known = error.errno is not None and error.errno in errno.errorcode
        text = os.strerror(error.errno or 0) if known else error.strerror
    return text[:1].lower() + text[1:]


def show_address(address: object) -> str:
    """Return an address as text: `127.0.0.1:11112`, `[::1]:11112`, or a path, escaped because a peer may choose it."""
    if isinstance(address, tuple) and len(address) >= 2:
        host, port = printable(str(address[0])), address[1]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    text = os.fsdecode(address) if isinstance(address, bytes | os.PathLike) else str(address)
    # Abstract names are shown as ss(8) does.
    return printable(text.replace("\0", "@")) or "an unnamed socket"


def printable(text: str) -> str:
    """Return the text with unprintable characters escaped, so that it is safe in a line of a log."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def peer_of(sock: socket.socket) -> str:
    """Return the address of the other end as text."""
    try:
        return show_address(sock.getpeername())
    except OSError:
        return "a peer that is gone"


def network_of(host: str) -> str:
    """Return the network by which connections are counted: `10.0.0.7`, or for IPv6 `2001:db8:0:7::/64`.

    An IPv4 address that a dual-stack socket reports as `::ffff:10.0.0.7` counts as IPv4. All link-local addresses,
    `fe80::`, of one interface count as one network."""
    if ":" not in host:
        return host
    address, percent, interface = host.partition("%")
    try:
        packed = socket.inet_pton(socket.AF_INET6, address)
    except OSError:  # the address of another kind of network
        return host
    if packed.startswith(MAPPED):
        return socket.inet_ntop(socket.AF_INET, packed[len(MAPPED) :])
    network = socket.inet_ntop(socket.AF_INET6, packed[:PREFIX] + bytes(PREFIX))
    return f"{network}/64{percent}{interface}"


def host_of(where: object) -> str | None:
    """Return the host of an address, which a server's certificate has to name; None for a Unix socket."""
    return where[0] if isinstance(where, tuple) else None


def check_port(port: int) -> None:
    """Raise OverflowError for a port out of range, because some systems use 70000 as 4464."""
    if not 0 <= port <= 0xFFFF:
        raise OverflowError(f"port {port}: expected 0 to 65535")


def port_of(names: Sequence[object]) -> int:
    """Return the port of the first address that has one. Raises ValueError if none has."""
    for name in names:
        if isinstance(name, tuple):
            return int(name[1])
    raise ValueError("a server without a port")


def is_listening(sock: socket.socket) -> bool:
    """Return True if the socket is a listening stream socket."""
    return sock.type == socket.SOCK_STREAM and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) != 0


# -- listening -----------------------------------------------------------------------------------------------------


class Listeners:
    """Listening, non-blocking sockets for all of `where`, one for each address of a host.

    `reuse_port`: other processes may listen on the same port, and the system distributes the connections among them
    (SO_REUSEPORT). Raises `ListenFailed`, and then leaves no socket open.
    """

    def __init__(self, where: Listening, *, reuse_port: bool = False) -> None:
        self.sockets: list[socket.socket] = []
        self._paths: dict[str, tuple[int, int]] = {}  # path of each Unix socket created here -> its file
        try:
            for place in _places(where):
                if isinstance(place, socket.socket):
                    self.sockets.append(place)
                elif isinstance(place, tuple):
                    _listen_on_host(place, self.sockets, reuse_port=reuse_port)
                else:
                    path = os.fspath(place)
                    self.sockets.append(_listen_on_path(path))
                    if not path.startswith("\0"):
                        self._paths[path] = _file(path)
            for sock in self.sockets:
                if not is_listening(sock):
                    raise ListenFailed("a given socket is not a listening stream socket")
                sock.setblocking(False)
        except BaseException:
            self.close()
            raise
        if not self.sockets:
            raise ListenFailed("nothing to listen on")

    @property
    def names(self) -> list[object]:
        """The addresses of the sockets, in the form of `getsockname`."""
        return [sock.getsockname() for sock in self.sockets]

    def close(self) -> None:
        """Close the sockets, and remove the files of Unix sockets that were created here."""
        for sock in self.sockets:
            sock.close()
        for path, made in self._paths.items():
            with suppress(OSError):
                if _file(path) == made:  # not a file that has replaced it
                    os.unlink(path)
        self._paths.clear()


def _places(where: Listening) -> Iterable[Address | socket.socket]:
    """Each of the places in `where`. Raises TypeError for anything else than `Listening`."""
    if isinstance(where, str | os.PathLike | socket.socket):
        return (_place(where),)
    if isinstance(where, tuple) and len(where) == 2 and isinstance(where[1], int):
        return ((str(where[0]), where[1]),)
    is_pair = isinstance(where, tuple) and len(where) == 2 and str(where[1]).isdecimal()
    if is_pair or not isinstance(where, Iterable):
        check_address(where, "serve(where)", "an address, a listening socket or a list of these")
    return [_place(one) for one in where]


def _place(where: Address | socket.socket) -> Address | socket.socket:
    if not isinstance(where, socket.socket):
        check_address(where, "serve(where)", "an address or a listening socket")
    if not isinstance(where, str) or not is_network_address(where):
        return where
    try:
        found = parse_address(where)
    except ValueError as error:
        raise ListenFailed(f"cannot listen on {error}") from None
    if found.aet is not None:
        raise ListenFailed(
            f"cannot listen on {where!a}: remove the AE title; AcceptPolicy.called_aets restricts titles"
        )
    return found.where


def _file(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino


def _listen_on_host(where: tuple[str, int], found: list[socket.socket], *, reuse_port: bool) -> None:
    host, port = where
    try:
        check_port(port)
        known = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        families = {one[0] for one in known}
        for family, kind, protocol, _, address in dict.fromkeys(known):
            sock = socket.socket(family, kind, protocol)
            found.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if reuse_port:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6 and socket.AF_INET in families:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # IPv4 has a socket of its own
            try:
                # With port 0, all addresses use the free port that the first one got.
                sock.bind((address[0], port, *address[2:]))
            except OSError as error:
                if len(families) > 1 and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    found.remove(sock)  # such as a host without IPv6 whose name still has an IPv6 address
                    sock.close()
                    continue
                raise
            sock.listen(BACKLOG)
            port = port or sock.getsockname()[1]
    except (OSError, UnicodeError, OverflowError) as error:
        raise ListenFailed(f"cannot listen on {show_address(where)}: {said(error)}") from error


def _listen_on_path(path: str) -> socket.socket:
    """Listen on a Unix socket. Replaces one that a dead process left behind, but not one that is in use."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if "\0" in path[1:] and path[0] != "\0":
            raise ValueError("embedded null byte")  # the system would use the part before it
        try:
            sock.bind(path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not _left_behind(path):
                raise
            os.unlink(path)
            sock.bind(path)
        sock.listen(BACKLOG)
    except (OSError, ValueError) as error:
        sock.close()
        raise ListenFailed(f"cannot listen on {path!a}: {said(error)}") from error
    return sock


def _left_behind(path: str) -> bool:
    if not stat.S_ISSOCK(os.stat(path).st_mode):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except OSError as error:
            return isinstance(error, ConnectionRefusedError)
    return False


def handed_over(environment: dict[str, str] | os._Environ[str] = os.environ) -> list[socket.socket]:
    """Return the listening sockets that a service manager passed (systemd socket activation), for `serve`.

    Raises `ListenFailed` for a descriptor that is not a listening stream socket.
    """
    count = environment.get("LISTEN_FDS", "")
    if environment.get("LISTEN_PID") != str(os.getpid()) or not (count.isascii() and count.isdigit()):
        return []
    found: list[socket.socket] = []
    try:
        for fd in range(FIRST_HANDED_OVER, FIRST_HANDED_OVER + int(count)):
            try:
                found.append(socket.socket(fileno=fd))
                fit = is_listening(found[-1])
            except OSError as error:
                raise ListenFailed(f"descriptor {fd} of the service manager: {said(error)}") from error
            if not fit:
                raise ListenFailed(f"descriptor {fd} of the service manager is not a listening stream socket")
            found[-1].set_inheritable(False)
    except ListenFailed:
        for sock in found:
            sock.close()
        raise
    return found
