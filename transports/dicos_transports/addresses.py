"""Where peers are and where servers listen: host and port, or the path of a Unix socket; how errors of sockets read;
what is set on every socket.

Knows: sockets as the system has them. Must not know: associations, event loops. Every listener is bound here, those
that a service manager hands over are taken here.
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
from typing import Any, Final

from dicos_proto.errors import ProtocolError
from dicos_proto.upper_layer.titles import is_title

BACKLOG: Final = 128
FULL_AGAIN: Final = 0.02
"""Seconds until a Unix socket is tried again whose backlog is full: the system reports that, and does not wait."""
PREFIX: Final = 8
"""Bytes of an address of IPv6 that name a network; the other half its owner chooses as he likes.  # RFC 4291 2.5.4"""
MAPPED: Final = bytes(10) + b"\xff\xff"
"""How an address of IPv6 begins that is one of IPv4.  # RFC 4291 2.5.5.2"""
FIRST_HANDED_OVER: Final = 3
"""The descriptor at which a service manager's sockets begin, sd_listen_fds(3)."""

DEFAULT_CALLED: Final = "ANY-SCP"
"""The AE title of a peer of which none is known."""
KEEPALIVE: Final = 60.0
"""Seconds of silence after which the system asks whether a peer's host is still there; it gives up as much later."""
PROBES: Final = 6
"""How often it asks, within that time again."""
LONGEST_KEEPALIVE: Final = 32_767
"""Seconds; tcp(7)."""

Address = tuple[str, int] | str | os.PathLike[str]
"""(host, port); `"host:port"`, `"[::1]:port"` or `"AET@host:port"` (`parse_address`); or the path of a Unix socket. A
string is a path if it has a slash, or neither a port nor an @; a `Path` is always one. Linux: a path that begins with
NUL is a name that is no file."""
SourceAddress = str | tuple[str, int]
"""The local address that connections are made from: `"10.0.0.5"`, or (address, port), port 0 for a free one."""
Listening = Address | socket.socket | Sequence[Address | socket.socket]
"""What a server listens on: an address, a listening socket, or a list of such."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedAddress:
    """Where a peer is, and the AE title it has there, if one was given: what `parse_address` makes of a text."""

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
    """Read `host:port`, `[::1]:port`, `[fe80::1%eth0]:port`, each with `AET@` in front or without.

    Raises ValueError, with a text that says what was seen and what an address looks like.
    """
    title, at, place = text.rpartition("@")
    aet = title.strip(" ") if at else None
    if aet is not None and not is_title(aet):
        raise ValueError(
            f"{text!a}: {aet!a} before the @ is no AE title: 1 to 16 ASCII characters, no backslash, no control "
            "characters, not only spaces"
        )
    host, colon, number = place.rpartition(":")
    if place.endswith("]") or not colon:
        raise ValueError(f"{text!a}: no port; HOST:PORT, where 104 and 11112 are the usual ports of DICOM")
    if not (number.isascii() and number.isdigit() and len(number) <= 5 and int(number) <= 0xFFFF):
        raise ValueError(f"{text!a}: port {number!a}; 0 to 65535")
    return NamedAddress(host=parse_host(host, text), port=int(number), aet=aet)


def parse_host(host: str, text: str | None = None) -> str:
    """A host as an address has it, an address of IPv6 in brackets: without them. Raises ValueError, about `text`."""
    seen = ascii(host if text is None else text)
    if host.startswith("[") and host.endswith("]"):
        address, percent, zone = host[1:-1].partition("%")
        if not is_ipv6(address) or (percent and not zone):
            raise ValueError(f"{seen}: {host!a} is no address of IPv6 in brackets, such as [::1] or [fe80::1%eth0]")
        return host[1:-1]
    if ":" in host:
        raise ValueError(f"{seen}: an address of IPv6 is written in brackets: [{_or_example(host)}]:PORT")
    if not host:
        raise ValueError(f"{seen}: no host; HOST:PORT")
    if _NO_HOST.search(host):
        raise ValueError(f"{seen}: {host!a} is no host: a name or an address, without spaces, slashes and brackets")
    return host


_NO_HOST: Final = re.compile(r"[\x00-\x20\x7f/\\\[\]@?#]")


def is_ipv6(text: str) -> bool:
    """Whether it is an address of IPv6, without brackets and without a zone."""
    try:
        socket.inet_pton(socket.AF_INET6, text)
    except (OSError, ValueError):
        return False
    return True


def is_address(text: str) -> bool:
    """Returns True for an address of IPv4 or IPv6, without a port."""
    try:
        socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError):
        return is_ipv6(text)
    return True


def _or_example(host: str) -> str:
    return host if is_ipv6(host) else "::1"


def is_network_address(text: str) -> bool:
    """Whether a string that is given for an `Address` is one of a host, and not the path of a Unix socket."""
    if "/" in text or "\0" in text:
        return False
    return text.startswith("[") or text.find("@") > 0 or re.search(r":\d+\Z", text, re.ASCII) is not None


def source_of(source: SourceAddress, *, unix: bool) -> tuple[int, Any]:
    """The family of a source address, and what a socket of it binds to. Raises ValueError.

    It is an address, not a name: which of a host's addresses is meant cannot be guessed. `unix`: for a Unix socket,
    which has none.
    """
    if unix:
        raise ValueError("a Unix socket has no source address")
    host, port = source if isinstance(source, tuple) else (source, 0)
    try:
        check_port(port)
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError, OverflowError, ValueError) as error:
        why = said(error) if isinstance(error, OverflowError) else "an address of this host, 10.0.0.5 say, not a name"
        raise ValueError(f"source address {show_address(source)!a}: {why}") from None
    return found[0][0], found[0][4]


def matching(found: Sequence[Any], family: int, source: SourceAddress) -> list[Any]:
    """Of what `getaddrinfo` found, the addresses that can be reached from one of this family. Raises OSError."""
    fit = [one for one in found if one[0] == family]
    if not fit:
        kind = "IPv6" if family == socket.AF_INET6 else "IPv4"
        raise NoSource(None, f"source address {show_address(source)} is {kind}, and the host has no {kind} address")
    return fit


def bound_socket(family: int, kind: int, protocol: int, address: Any, source: SourceAddress) -> socket.socket:
    """A socket that is to be connected from here. Raises `NoSource`."""
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that is given serves again at once
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise NoSource(None, f"source address {show_address(source)}: {said(error)}") from error
    return sock


def unreachable(where: object, why: str) -> str:
    """Why there is no connection. Of a string that was taken for the path of a Unix socket it says so."""
    if isinstance(where, str) and "/" not in where and "\0" not in where:
        return f"no connection to the Unix socket {where!a}: {why}; an address is HOST:PORT"
    return f"no connection to {show_address(where)}: {why}"


class NoSource(OSError):
    """The source address cannot be had; no other address of the peer changes that."""


def check_keepalive(seconds: float | None) -> None:
    """Raise ValueError for what no system takes."""
    if seconds is not None and not 1 <= seconds <= LONGEST_KEEPALIVE:
        raise ValueError(f"keepalive of {seconds:g} s; 1 to {LONGEST_KEEPALIVE}, or None for none")


def keep_alive(sock: Any, seconds: float | None) -> None:
    """TCP keepalive, or none of it, for a connected socket, or what stands for one; nothing for one that is no TCP.

    After `seconds` of silence the system asks the peer's host whether it is there; one that gives no answer for as long
    again is gone, and the connection is lost: without it, that of a host that was switched off stays for ever.
    """
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with suppress(OSError):  # it is gone already; or the system has no such option
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, seconds is not None)
        if seconds is not None:
            idle = getattr(socket, "TCP_KEEPIDLE", getattr(socket, "TCP_KEEPALIVE", None))  # Linux, macOS
            if idle is not None:
                sock.setsockopt(socket.IPPROTO_TCP, idle, round(seconds))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, round(seconds / PROBES)))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)


class ListenFailed(ProtocolError):
    """The address cannot be listened on; one line says which and why."""


def said(error: Exception) -> str:
    """What the system says of an error, as the end of a sentence."""
    if isinstance(error, TimeoutError) and error.errno is None:
        return "timed out"
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        # Of a connection event loops say more, each something else: where to, which is said already.
        known = error.errno is not None and error.errno in errno.errorcode
        text = os.strerror(error.errno or 0) if known else error.strerror
    return text[:1].lower() + text[1:]


def show_address(address: object) -> str:
    """`127.0.0.1:11112`; `[::1]:11112`; the path of a Unix socket; what else a socket may have for an address.

    For people and logs: a peer chooses the path that its socket has, so what cannot be printed is escaped.
    """
    if isinstance(address, tuple) and len(address) >= 2:
        host, port = printable(str(address[0])), address[1]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    text = os.fsdecode(address) if isinstance(address, bytes | os.PathLike) else str(address)
    # As ss(8) writes those of Linux that are no files.
    return printable(text.replace("\0", "@")) or "an unnamed socket"


def printable(text: str) -> str:
    """The text with what cannot be printed escaped: for records of logs, which are lines."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def peer_of(sock: socket.socket) -> str:
    """The address of the other end, for people."""
    try:
        return show_address(sock.getpeername())
    except OSError:
        return "a peer that is gone"


def network_of(host: str) -> str:
    """Whose connections are counted together: `10.0.0.7`; of IPv6 all of a network, `2001:db8:0:7::/64`.

    One of IPv4 is the same however it comes: a socket for both has it as `::ffff:10.0.0.7`. Those of a link, `fe80::`,
    are told apart by the interface only."""
    if ":" not in host:
        return host
    address, percent, interface = host.partition("%")
    try:
        packed = socket.inet_pton(socket.AF_INET6, address)
    except OSError:  # of another kind of network
        return host
    if packed.startswith(MAPPED):
        return socket.inet_ntop(socket.AF_INET, packed[len(MAPPED) :])
    network = socket.inet_ntop(socket.AF_INET6, packed[:PREFIX] + bytes(PREFIX))
    return f"{network}/64{percent}{interface}"


def host_of(where: object) -> str | None:
    """The host that is connected to, which a server's certificate must be for; None where there is none."""
    return where[0] if isinstance(where, tuple) else None


def check_port(port: int) -> None:
    """Raise OverflowError for a port that is none: some systems take 70000 for 4464."""
    if not 0 <= port <= 0xFFFF:
        raise OverflowError(f"port {port}; 0 to 65535")


def port_of(names: Sequence[object]) -> int:
    """The port of the first of these addresses that has one. Raises ValueError where none has."""
    for name in names:
        if isinstance(name, tuple):
            return int(name[1])
    raise ValueError("a server without a port")


def is_listening(sock: socket.socket) -> bool:
    """Whether connections can be accepted from it."""
    return sock.type == socket.SOCK_STREAM and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) != 0


# -- listening -----------------------------------------------------------------------------------------------------


class Listeners:
    """Listening, non-blocking sockets for all of `where`: a host that has several addresses is listened on at each.

    `reuse_port`: other processes may listen on the same port, and the system deals connections out (SO_REUSEPORT).
    Raises `ListenFailed`; nothing is listened on then.
    """

    def __init__(self, where: Listening, *, reuse_port: bool = False) -> None:
        self.sockets: list[socket.socket] = []
        self._paths: dict[str, tuple[int, int]] = {}  # of the Unix sockets that were made here, and their files
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
                    raise ListenFailed("a socket to listen on does not listen")
                sock.setblocking(False)
        except BaseException:
            self.close()
            raise
        if not self.sockets:
            raise ListenFailed("nothing to listen on")

    @property
    def names(self) -> list[object]:
        """Their addresses, as sockets have them."""
        return [sock.getsockname() for sock in self.sockets]

    def close(self) -> None:
        """Close them, and take away the names of Unix sockets that were made here."""
        for sock in self.sockets:
            sock.close()
        for path, made in self._paths.items():
            with suppress(OSError):
                if _file(path) == made:  # and not that of who has taken its place
                    os.unlink(path)
        self._paths.clear()


def _places(where: Listening) -> Iterable[Address | socket.socket]:
    if isinstance(where, str | os.PathLike | socket.socket):
        return (_place(where),)
    if isinstance(where, tuple) and len(where) == 2 and isinstance(where[1], int):
        return ((str(where[0]), where[1]),)
    return [_place(one) for one in where]  # the only tuple of two with a number in it is an address


def _place(where: Address | socket.socket) -> Address | socket.socket:
    if not isinstance(where, str) or not is_network_address(where):
        return where
    try:
        found = parse_address(where)
    except ValueError as error:
        raise ListenFailed(f"cannot listen on {error}") from None
    if found.aet is not None:
        raise ListenFailed(
            f"cannot listen on {where!a}: without a title; AcceptPolicy.called_aets says which are let in"
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
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # the other one is listened on besides
            try:
                # A free port that one address took is the port of all.
                sock.bind((address[0], port, *address[2:]))
            except OSError as error:
                if len(families) > 1 and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    found.remove(sock)  # a host without IPv6, say, whose name still has such an address
                    sock.close()
                    continue
                raise
            sock.listen(BACKLOG)
            port = port or sock.getsockname()[1]
    except (OSError, UnicodeError, OverflowError) as error:
        raise ListenFailed(f"cannot listen on {show_address(where)}: {said(error)}") from error


def _listen_on_path(path: str) -> socket.socket:
    """A Unix socket. One that a process left behind when it died is replaced; one that somebody listens on is not."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if "\0" in path[1:] and path[0] != "\0":
            raise ValueError("embedded null byte")  # the system would take what is before it
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
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def handed_over(environment: dict[str, str] | os._Environ[str] = os.environ) -> list[socket.socket]:
    """The listening sockets of a service manager (systemd socket activation), for `serve`; none if there are none.

    Raises `ListenFailed` for what is handed over and is no listening stream socket.
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
                raise ListenFailed(f"descriptor {fd} of the service manager is no listening stream socket")
            found[-1].set_inheritable(False)
    except ListenFailed:
        for sock in found:
            sock.close()
        raise
    return found
