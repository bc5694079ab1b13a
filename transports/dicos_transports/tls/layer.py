"""TLS as a layer between a connection and an association: itself a `Wire`, around a `Wire`.

    session = connect(("pacs.example", 2762), contexts, tls=ClientTLS(trust=load_certificates("ca.pem")))

Theory of operation: OpenSSL works between two memory buffers (BIOs) and knows no socket. What arrives is put into the
one, decrypted, and given to the wire inside; what that wire has to send is encrypted and taken out of the other.
An adapter drives this layer instead of the association and needs to know nothing more: during the handshake it only
sees bytes to send, bytes to receive and a deadline. The flows of the association wait for their first event meanwhile.

Knows: handshake, records, alerts, how TLS ends. Must not know: sockets, PDUs, what a certificate must be like
(`tls_config`).

Invariants: plaintext goes out only once the handshake is done and the peer verified; the first fault is the one that
is told, by `error` and by the end of file that the wire inside gets, and nothing is encrypted or decrypted after it;
between two calls no plaintext is held here, and of ciphertext only what a record lacks.

How it ends: TLS has an end of its own, close_notify, which is sent once the association is over and expected of the
peer. A connection that ends without it may have been cut by anybody: for an association that still needed it, that is
the error "truncated". One that has ended by its own PDUs, A-RELEASE-RP or A-ABORT, does not care: many peers then just
close, and nothing that counts can be cut off.
"""

from __future__ import annotations

from typing import Final

from OpenSSL import SSL

from dicos_proto.errors import ConnectionLost, LocalProtocolError
from dicos_proto.timers import Deadline
from dicos_proto.upper_layer.pdu_types import AssociateReject, AssociateRequest, PduType
from dicos_proto.wire import Buffer, Wire

from ..buffers import RECEIVE_SIZE, SHARED, Buffers
from ..tracing import Trace
from . import openssl as tls_openssl
from .config import (
    SESSIONS,
    ClientCertificate,
    ClientTLS,
    ServerTLS,
    TitlePolicy,
    TLSInfo,
    Verdict,
    address_of,
    refusal,
    titles_by_name,
)
from .identity import DAMAGED, Identity, TLSConfigError, load_certificates, load_crls
from .profiles import BCP195_RFC9325, EXTENDED, MODIFIED, NON_DOWNGRADING, PROFILES, Profile

__all__ = [
    "BCP195_RFC9325",
    "EXTENDED",
    "MODIFIED",
    "NON_DOWNGRADING",
    "PROFILES",
    "ClientCertificate",
    "ClientTLS",
    "Identity",
    "Profile",
    "ServerTLS",
    "TLSConfigError",
    "TLSError",
    "TLSInfo",
    "TLSLayer",
    "TitlePolicy",
    "load_certificates",
    "load_crls",
    "refusal",
    "titles_by_name",
]

JOINED: Final = 128 * 1024
"""Bytes of plaintext that are joined before they are encrypted: eight full records, and little enough for a cache."""
BATCH: Final = 1024 * 1024
"""Bytes after which no more are encrypted at a time: ciphertext is a copy."""
LINGER: Final = 2.0
"""Seconds a peer gets to read an alert and close: who closes first, with bytes unread, takes the alert back."""
_plaintexts = Buffers(RECEIVE_SIZE, SHARED)
_joined = Buffers(JOINED, 3)
_ciphertexts = Buffers(JOINED + JOINED // 16, 16)  # a record is longer than what is in it; several wait to be sent
_NOT_TLS: Final = b"\x15\x03\x03\x00\x02\x02\x0a"  # the fatal alert unexpected_message
_HEAD: Final = 6
"""Bytes by which a protocol that is not TLS is named."""

_FOREIGN: Final = (
    (b"SSH-", "SSH"),
    (b"GET ", "HTTP"),
    (b"POST", "HTTP"),
    (b"HEAD", "HTTP"),
    (b"PUT ", "HTTP"),
    (b"OPTI", "HTTP"),
    (b"PRI ", "HTTP"),
    (b"HTTP", "an HTTP answer"),
)

_FAULTS: Final = {
    "no shared cipher": "no cipher suite in common with the peer",
    "no suitable key share": "no key exchange group in common with the peer",
    "unsupported protocol": "the peer wants a version of TLS that is not allowed here",
    "peer did not return a certificate": "the peer sent no certificate, and one is required",
    "decryption failed or bad record mac": "a record was changed on its way, or the peer encrypts wrongly",
    "unexpected eof while reading": "the connection ended in the middle of the handshake",
}
"""Some of what OpenSSL calls a reason, in words."""

_ALERTS: Final = {
    "unknown ca": "it does not trust the certificate of this side",
    "bad certificate": "it refuses the certificate of this side",
    "certificate expired": "the certificate of this side has expired",
    "certificate required": "it requires a certificate of this side",
    "handshake failure": "nothing in common: versions, cipher suites, or a certificate that it requires",
    "protocol version": "it does not speak the versions of TLS that are allowed here",
    "unrecognized name": "it has no certificate for the name it was asked for",
    "unexpected message": "what it got was not what it expects; it may speak no TLS",
}
"""What alerts of the peer mean here."""


class TLSError(ConnectionLost):
    """TLS with the peer failed; the text is one line that names the cause."""


class TLSLayer:
    """TLS around `wire`. A `ClientTLS` makes it the side that connects, a `ServerTLS` the one that is connected to.

    `server_hostname`: what a client connects to, which is what the certificate must be for; the configuration's own
    comes first. `trace` is called with the plaintext sent and received. Raises `LocalProtocolError` where a client has
    no name and is to check it.
    """

    def __init__(
        self,
        wire: Wire,
        config: ClientTLS | ServerTLS,
        *,
        server_hostname: str | None = None,
        trace: Trace | None = None,
    ) -> None:
        self._wire = wire
        self._trace = trace
        self.config = config
        self.error: TLSError | None = None
        """The first fault. The association tells of it, unless it was over by then."""
        self.info: TLSInfo | None = None
        """What was negotiated; None until the handshake is done."""
        self._hostname: str | None = None
        self._verified = False
        self._at: float | None = None  # when the handshake, or the wait after a fault, is over
        self._head: bytes | None = b""  # what came first, until that is known to be TLS
        self._received = 0
        self._outbox: list[bytes | memoryview] = []  # alerts and flights of the handshake
        self._lingers = False  # a fault, and the peer is to read of it
        self._ended = False  # the wire inside was told that nothing more will come
        self._left = False  # close_notify is sent
        self._hello: bytearray | None = None  # what came of a ClientHello whose name is to be known first
        self._asked: str | None = None  # for which name
        if isinstance(config, ClientTLS):
            self._connection = SSL.Connection(config.context, None)
            self._begin_client(config, config.server_hostname or server_hostname)
        elif config.chooser is not None:
            self._hello = bytearray()
            self._connection = SSL.Connection(config.chooser, None)
            self._connection.set_accept_state()
        else:
            self._begin_server(config)

    def _begin_server(self, config: ServerTLS) -> None:
        self._connection = config.connection_for(self._asked)
        self._connection.set_app_data(Verdict(None))
        self._verified = config.client_certificates is not ClientCertificate.NONE
        self._connection.set_accept_state()

    def _begin_client(self, config: ClientTLS, hostname: str | None) -> None:
        connection, checks = self._connection, config.verify and config.check_hostname
        if hostname is None and checks:
            raise LocalProtocolError("no host name to check the server's certificate against: server_hostname")
        self._hostname = hostname
        self._verified = config.verify
        connection.set_app_data(Verdict(hostname if checks else None))
        connection.set_connect_state()
        if hostname is not None and address_of(hostname) is None:  # RFC 6066 3: names only
            try:
                connection.set_tlsext_host_name(hostname.encode("idna"))
            except UnicodeError as error:
                raise LocalProtocolError(f"{hostname!a} is no host name") from error
        kept = config.sessions.get(hostname or "")
        if config.resume and kept is not None:
            connection.set_session(kept)
        self._shake()

    def refusal(self, request: AssociateRequest) -> AssociateReject | None:
        """The rejection of a request by the server's policy of titles, if it is to be rejected."""
        return refusal(self.config, self.info, request)

    # -- what a Wire has -----------------------------------------------------------------------------------------

    @property
    def wants_read(self) -> bool:
        """False: do not read the connection now."""
        return self._lingers or (not self._ended and self._wire.wants_read)

    @property
    def wants_close(self) -> bool:
        """The association is over: close once `data_to_send()` is drained."""
        return self._wire.wants_close

    def receive_data(self, data: Buffer) -> None:
        """Ciphertext that arrived. It is decrypted now; of a record that is not whole yet a copy is kept."""
        if self._ended or self._lingers or not len(data):
            return
        self._received += len(data)
        if self._head is not None:
            self._head += bytes(data)
            data = self._head
            if data[0] not in (0x15, 0x16):
                if len(data) >= _HEAD:
                    self._not_tls(data)
                return
            self._head = None
        self._connection.bio_write(data)
        if self._hello is not None and isinstance(self.config, ServerTLS):
            self._hello += data
            if not self._choose(self.config, self._hello):
                return
            self._hello = None
        if self.info is None:
            self._shake()
        if self.info is not None:
            self._decrypt()

    def receive_eof(self, why: ConnectionLost | None = None) -> None:
        """The peer will send no more."""
        if self._ended:
            return
        if self._lingers:
            self._end()
        elif self._head:
            self._not_tls(self._head)
        elif self.info is not None:
            if not self._wire.wants_close:
                self.error = TLSError("TLS: truncated: the connection ended without close_notify")
            self._end(why)
        elif self._received or isinstance(self.config, ClientTLS):
            seen = f"the peer closed the connection after {self._received} bytes; does it speak TLS?"
            self._fail(seen, alert=False)
        else:
            self._end(why)  # somebody looked whether anyone is there

    def data_to_send(self) -> list[bytes | memoryview]:
        """Take ciphertext that waits to be sent, some `BATCH` bytes in one call: call it until it returns nothing.

        This is the one place that joins payload. A record holds up to 16 KiB and costs a header and a tag of 22 bytes
        and more, encrypted and checked on its own: one for each header of a PDU doubles the work. And encryption
        reads every byte anyhow: to join first is a small part of that.
        """
        if self.info is not None and not self._left:
            size = 0
            while self.error is None and size < BATCH:
                plain = self._wire.data_to_send()
                if not plain:
                    if self._wire.wants_close:
                        self._leave()
                    break
                self._encrypt(plain)
                size += sum(map(len, plain))
                if self._trace is not None:
                    self._trace("sent", plain)  # last: should it raise, nothing is lost
        while self.error is not None and self._wire.data_to_send():
            pass  # for nobody
        taken: list[bytes | memoryview] = [*self._outbox]
        self._outbox.clear()
        return taken

    def deadline(self, now: float) -> Deadline | None:
        """That of the handshake, then the wire's own; timers of the association do not run before it is connected."""
        if self._lingers:
            self._at = now + LINGER if self._at is None else self._at
            return Deadline(self._at, "TLS: waiting for the peer to read an alert and close")
        if self.info is not None or self._ended:
            return self._wire.deadline(now)
        seconds = self.config.handshake_timeout
        if seconds is None:
            return None
        self._at = now + seconds if self._at is None else self._at
        return Deadline(self._at, "TLS handshake")

    def handle_timeout(self, now: float) -> None:
        """Time has passed. Early and repeated calls do nothing."""
        if (self.info is not None and not self._lingers) or self._ended:
            self._wire.handle_timeout(now)
        elif self._at is None or now < self._at:
            return
        elif self._lingers:
            self._end()
        elif self._head:
            self._not_tls(self._head)
        else:
            seconds = self.config.handshake_timeout
            self._fail(f"not done within {seconds:g} s, in which the peer sent {self._received} bytes", alert=False)

    # -- handshake -----------------------------------------------------------------------------------------------

    def _choose(self, config: ServerTLS, hello: bytearray) -> bool:
        """Go on with the identity for the name in a ClientHello, if that is whole; whether it is.

        The connection that reads the name has no certificate: it fails then, or has something else to say. One that
        fails before, at what is no ClientHello, fails again with the identity for no name, which says why.
        """
        chooser = self._connection
        try:
            chooser.do_handshake()
        except SSL.WantReadError:
            if not tls_openssl.read_ciphertext(chooser, _ciphertexts.free()):
                return False
        except SSL.Error:
            pass  # as it is to be
        name = chooser.get_servername()
        self._asked = name.decode("ascii", "replace") if name else None
        self._begin_server(config)
        self._connection.bio_write(hello)
        return True

    def _shake(self) -> None:
        """As far as what was received goes."""
        connection = self._connection
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            self._take_ciphertext()
            return
        except SSL.Error as error:
            self._fail(_cause(error, connection.get_app_data()))
            return
        self._take_ciphertext()
        self._at = None
        try:
            certificate = connection.get_peer_certificate(as_cryptography=True)
        except DAMAGED as error:
            self._fail(f"the peer's certificate cannot be parsed: {str(error)!a}", alert=False)
            return
        asked = connection.get_servername()
        self.info = TLSInfo(
            protocol=connection.get_protocol_version_name(),
            cipher=connection.get_cipher_name() or "",
            certificate=certificate,
            server_name=self._asked or (asked.decode("ascii", "replace") if asked else None),
            resumed=tls_openssl.resumed(connection),
            verified=self._verified and certificate is not None,
        )

    def _not_tls(self, head: bytes) -> None:
        """The peer speaks something else. A server says so by an alert, which a DICOM engine can name in turn."""
        kinds = {kind.value: kind.label for kind in PduType}
        what = next((name for prefix, name in _FOREIGN if head.startswith(prefix)), None)
        if what is None and head[0] in kinds and head[1:2] in (b"", b"\0"):
            what = f"plain DICOM ({kinds[head[0]]})"
        if isinstance(self.config, ServerTLS):
            self._outbox.append(_NOT_TLS)
        self._fail(f"{what or 'something else'}, not TLS: {head[:_HEAD]!r}", alert=False)

    # -- records -------------------------------------------------------------------------------------------------

    def _decrypt(self) -> None:
        """Give the wire inside what is whole, in few pieces: it counts them, and a peer may send one byte a record."""
        fault: SSL.Error | None = None
        while fault is None:
            buffer = _plaintexts.free()
            count, fault = tls_openssl.read_plaintext(self._connection, buffer)
            if not count:
                break
            data = _cut(buffer, count)
            self._wire.receive_data(data)
            if self._trace is not None:
                self._trace("received", [data])  # last: should it raise, nothing is lost
        self._take_ciphertext()  # an answer to a key update, say
        if isinstance(fault, SSL.ZeroReturnError):
            self._end()
        elif fault is not None and not isinstance(fault, SSL.WantReadError):
            self._fail(_cause(fault, self._connection.get_app_data()))

    def _encrypt(self, buffers: list[bytes | memoryview]) -> None:
        """Encrypt them, joined to full records; what is larger than that is not copied first."""
        plain, size = _joined.free(), 0
        for buffer in buffers:
            left = memoryview(buffer)
            while left:
                if not size and len(left) >= JOINED:
                    piece, left = left[:JOINED], left[JOINED:]
                    self._encrypt_piece(piece)
                    continue
                taken = min(JOINED - size, len(left))
                plain[size : size + taken] = left[:taken]
                size, left = size + taken, left[taken:]
                if size == JOINED:
                    self._encrypt_piece(plain)
                    size = 0
        if size:
            self._encrypt_piece(plain[:size])

    def _encrypt_piece(self, piece: memoryview) -> None:
        if self.error is not None:
            return
        try:
            self._connection.sendall(piece)
        except SSL.Error as error:
            self._fail(_cause(error, self._connection.get_app_data()))
            return
        self._take_ciphertext()

    def _take_ciphertext(self) -> None:
        """Move what OpenSSL has written to the outbox."""
        while True:
            buffer = _ciphertexts.free()
            count = tls_openssl.read_ciphertext(self._connection, buffer)
            if count:
                self._outbox.append(_cut(buffer, count))
            if count < len(buffer):
                return

    # -- the end -------------------------------------------------------------------------------------------------

    def _leave(self) -> None:
        """Send close_notify; that of the peer is not waited for.  # RFC 8446 6.1"""
        self._left = True
        self._keep_session()
        try:
            self._connection.shutdown()
        except SSL.Error:
            return  # the peer has broken it off in the meantime
        self._take_ciphertext()

    def _keep_session(self) -> None:
        """For the next connection to this server. Tickets come after the handshake, so this is done at the end."""
        config = self.config
        if isinstance(config, ClientTLS) and config.resume:
            session = self._connection.get_session()
            if session is not None:
                config.sessions[self._hostname or ""] = session
                while len(config.sessions) > SESSIONS:
                    config.sessions.popitem(last=False)

    def _fail(self, cause: str, *, alert: bool = True) -> None:
        """The first fault: tell the peer by the alert that OpenSSL has written, if it has."""
        where = "TLS handshake" if self.info is None else "TLS"
        self.error = TLSError(f"{where}: {cause}")
        self._at = None
        self._take_ciphertext()
        if alert and self._outbox:
            self._lingers = True
        else:
            self._end()

    def _end(self, why: ConnectionLost | None = None) -> None:
        self._lingers = False
        self._ended = True
        self._wire.receive_eof(self.error or why)


def _cut(buffer: memoryview, count: int) -> bytes | memoryview:
    """What is in a buffer; a small part of it as a copy, so that keeping that never keeps the buffer."""
    data = buffer[:count]
    return data if count > len(buffer) // 2 else bytes(data)


def _cause(error: SSL.Error, verdict: Verdict) -> str:
    """One line for what OpenSSL says."""
    if verdict.fault is not None:
        return verdict.fault
    if isinstance(error, SSL.ZeroReturnError | SSL.SysCallError):
        return "the peer closed the connection in the middle of the handshake"
    reasons = [str(one[-1]).lower() for one in error.args[0]] if error.args else []
    for reason in reasons:
        if reason in _FAULTS:
            return _FAULTS[reason]
        if " alert " in reason:
            alert = reason.partition(" alert ")[2]
            meaning = f": {_ALERTS[alert]}" if alert in _ALERTS else ""
            return f"the peer refuses ({alert}){meaning}"
    return ", ".join(reasons) or "OpenSSL gives no reason"
