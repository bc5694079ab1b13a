"""TLS as a layer between a connection and an association: a `Wire` around another `Wire`.

    session = connect(("pacs.example", 2762), contexts, tls=ClientTLS(trust=load_certificates("ca.pem")))

Theory of operation: OpenSSL works on two memory buffers (BIOs) and has no socket. Received bytes go into one buffer,
are decrypted, and are passed to the inner wire. Bytes that the inner wire sends are encrypted and taken from the other
buffer. An adapter drives this layer in place of the association. During the handshake it sees bytes to send, bytes to
receive and a deadline, while the flows of the association wait for their first event.

Knows: handshake, records, alerts, the end of a connection. Must not know: sockets, associations, the rules for
certificates (`config`).

Invariants: no plaintext is sent before the handshake is done and the peer is verified. The first fault is the one
reported, by `error` and by the end of file that the inner wire receives, and nothing is encrypted or decrypted after
it. Between two calls the layer holds no plaintext, and no ciphertext except an incomplete record.

The end: TLS has its own end, close_notify, which is sent when the association is over and expected from the peer. If a
connection ends without it, anybody may have cut it. That is the error "truncated" if the association was still in use.
It is not an error after the association's own last PDU, A-RELEASE-RP or A-ABORT: many peers then just close, and
nothing of value can be cut off.
"""

from __future__ import annotations

from typing import Final

from OpenSSL import SSL

from dicos_proto.errors import ConnectionLost, LocalProtocolError
from dicos_proto.timers import Deadline
from dicos_proto.upper_layer.framing import foreign_protocol
from dicos_proto.upper_layer.pdu_types import AssociateReject, AssociateRequest, PduType
from dicos_proto.wire import Buffer, Ending, Wire, is_network

from ..buffers import RECEIVE_SIZE, SHARED, Buffers
from ..tracing import Trace
from . import openssl as tls_openssl
from .config import SESSIONS, ClientCertificate, ClientTLS, ServerTLS, TLSInfo, Verdict, address_of, refusal
from .identity import DAMAGED

__all__ = ["ClientTLS", "ServerTLS", "TLSError", "TLSInfo", "TLSLayer"]

JOINED: Final = 128 * 1024
"""Most bytes of plaintext that are joined before encryption: eight full records, and small enough for a CPU cache."""
BATCH: Final = 1024 * 1024
"""Bytes of plaintext that one `data_to_send` encrypts, because ciphertext is a copy."""
LINGER: Final = 2.0
"""Seconds for a peer to read an alert and close. Closing first, with unread data, would discard the alert."""
_plaintexts = Buffers(RECEIVE_SIZE, SHARED)
_joined = Buffers(JOINED, 3)
_ciphertexts = Buffers(JOINED + JOINED // 16, 16)  # a record is longer than its content; several wait to be sent
_NOT_TLS: Final = b"\x15\x03\x03\x00\x02\x02\x0a"  # the fatal alert unexpected_message
_HEAD: Final = 6
"""Bytes needed to name a protocol that is not TLS."""


class TLSError(ConnectionLost):
    """TLS with the peer failed; the text is one line that names the cause."""


class TLSLayer:
    """TLS around `wire`: with a `ClientTLS` the side that connects, with a `ServerTLS` the side that accepts.

    `server_hostname`: the host that a client connects to and that the server's certificate must name, unless the
    configuration names another. `trace` is called with the plaintext sent and received. Raises `LocalProtocolError` if
    a client has to check the host name and there is none.
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
        self._network = wire if is_network(wire) else None
        self._trace = trace
        self.config = config
        self.error: TLSError | None = None
        """The first fault. The association reports it, unless it was over by then."""
        self.info: TLSInfo | None = None
        """The negotiated parameters; None until the handshake is done."""
        self._hostname: str | None = None
        self._verified = False
        self._at: float | None = None  # the end of the handshake, or of the wait after a fault
        self._head: bytes | None = b""  # the first bytes received, until they are known to be TLS
        self._received = 0
        self._outbox: list[bytes | memoryview] = []  # alerts and flights of the handshake
        self._lingers = False  # there was a fault, and the peer gets time to read the alert
        self._ended = False  # the inner wire has received its end of file
        self._left = False  # close_notify was sent
        self._hello: bytearray | None = None  # the ClientHello so far, while its server name is not known
        self._asked: str | None = None  # the server name that the client requested
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
            raise LocalProtocolError("no host name to check the server's certificate against; set server_hostname")
        self._hostname = hostname
        self._verified = config.verify
        connection.set_app_data(Verdict(hostname if checks else None))
        connection.set_connect_state()
        if hostname is not None and address_of(hostname) is None:  # names only  # RFC 6066 3
            try:
                connection.set_tlsext_host_name(hostname.encode("idna"))
            except UnicodeError as error:
                raise LocalProtocolError(f"{hostname!a} is not a host name") from error
        kept = config.sessions.get(hostname or "")
        if config.resume and kept is not None:
            connection.set_session(kept)
        self._shake()

    def refusal(self, request: AssociateRequest) -> AssociateReject | None:
        """Return the rejection of a request if the server's title policy does not allow it, else None."""
        return refusal(self.config, self.info, request)

    # -- the Wire ------------------------------------------------------------------------------------------------

    @property
    def wants_read(self) -> bool:
        """False if the connection should not be read now."""
        return self._lingers or (not self._ended and self._wire.wants_read)

    @property
    def wants_close(self) -> bool:
        """True if the association is over: close the connection once `data_to_send()` is drained."""
        return self._wire.wants_close

    @property
    def holds(self) -> bool:
        """True while the inner wire keeps bytes back, if it plays a network (`NetworkWire`)."""
        return self._network is not None and self._network.holds

    @property
    def ending(self) -> Ending:
        """The end of the sending side that the inner wire wants, if it is a `NetworkWire`."""
        return Ending.OPEN if self._network is None else self._network.ending

    def receive_data(self, data: Buffer) -> None:
        """Decrypt received ciphertext. An incomplete record is copied and kept."""
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
        """Handle the end of the peer's data."""
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
            self._end(why)  # a probe of the port, not a fault

    def data_to_send(self) -> list[bytes | memoryview]:
        """Return ciphertext to send, about `BATCH` bytes in one call; call it until it returns nothing.

        This is the one place that joins payload. A record holds up to 16 KiB and adds at least 22 bytes of header and
        tag, and each record is encrypted and checked on its own. A record for each PDU header would double the work.
        Encryption reads every byte anyway, so joining first costs little in comparison.
        """
        if self.info is not None and not self._left:
            size = 0
            while self.error is None and size < BATCH:
                plain = self._wire.data_to_send()
                if not plain:
                    if self._wire.wants_close or self.ending is Ending.SHUT:
                        self._leave()
                    break
                self._encrypt(plain)
                size += sum(map(len, plain))
                if self._trace is not None:
                    self._trace("sent", plain)  # last: if it raises, nothing is lost
        while (self.error is not None or self._left) and self._wire.data_to_send():
            pass  # discarded
        taken: list[bytes | memoryview] = [*self._outbox]
        self._outbox.clear()
        return taken

    def deadline(self, now: float) -> Deadline | None:
        """Return the deadline of the handshake, and after it that of the inner wire.

        The timers of the association do not run before the handshake is done.
        """
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
        """Handle a deadline that has passed. Early and repeated calls do nothing."""
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
        """Choose the identity by the name in a ClientHello. Returns False while the ClientHello is incomplete.

        The connection that reads the name has no certificate, so it fails after the ClientHello or answers it. If it
        fails earlier, because there is no valid ClientHello, the connection with the default identity fails again and
        gives the cause.
        """
        chooser = self._connection
        try:
            chooser.do_handshake()
        except SSL.WantReadError:
            if not tls_openssl.read_ciphertext(chooser, _ciphertexts.free()):
                return False
        except SSL.Error:
            pass  # expected: it has no certificate
        name = chooser.get_servername()
        self._asked = name.decode("ascii", "replace") if name else None
        self._begin_server(config)
        self._connection.bio_write(hello)
        return True

    def _shake(self) -> None:
        """Continue the handshake as far as the received data allows."""
        connection = self._connection
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            self._take_ciphertext()
            return
        except SSL.Error as error:
            self._fail(_cause(error, connection))
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
        """Fail because the peer speaks another protocol. A server sends an alert, which a DICOM peer can name."""
        kinds = {kind.value: kind.label for kind in PduType}
        what = foreign_protocol(head)
        if what is None and head[0] in kinds and head[1:2] in (b"", b"\0"):
            what = f"plain DICOM ({kinds[head[0]]})"
        if isinstance(self.config, ServerTLS):
            self._outbox.append(_NOT_TLS)
        self._fail(f"{what or 'something else'}, not TLS: {head[:_HEAD]!r}", alert=False)

    # -- records -------------------------------------------------------------------------------------------------

    def _decrypt(self) -> None:
        """Pass decrypted data to the inner wire in few pieces, because it limits their number."""
        fault: SSL.Error | None = None
        while fault is None:
            buffer = _plaintexts.free()
            count, fault = tls_openssl.read_plaintext(self._connection, buffer)
            if not count:
                break
            data = _cut(buffer, count)
            self._wire.receive_data(data)
            if self._trace is not None:
                self._trace("received", [data])  # last: if it raises, nothing is lost
        self._take_ciphertext()  # such as an answer to a key update
        if isinstance(fault, SSL.ZeroReturnError):
            self._end()
        elif fault is not None and not isinstance(fault, SSL.WantReadError):
            self._fail(_cause(fault, self._connection))

    def _encrypt(self, buffers: list[bytes | memoryview]) -> None:
        """Encrypt the buffers, joined to full records. Pieces of at least `JOINED` bytes are not copied first."""
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
            self._fail(_cause(error, self._connection))
            return
        self._take_ciphertext()

    def _take_ciphertext(self) -> None:
        """Move the bytes that OpenSSL has written to the outbox."""
        while True:
            buffer = _ciphertexts.free()
            count = tls_openssl.read_ciphertext(self._connection, buffer)
            if count:
                self._outbox.append(_cut(buffer, count))
            if count < len(buffer):
                return

    # -- the end -------------------------------------------------------------------------------------------------

    def _leave(self) -> None:
        """Send close_notify, without waiting for the peer's [RFC 8446 6.1]."""
        self._left = True
        self._keep_session()
        try:
            self._connection.shutdown()
        except SSL.Error:
            return  # the peer has ended the connection in the meantime
        self._take_ciphertext()

    def _keep_session(self) -> None:
        """Keep the session for the next connection to this server. Tickets come late, so this is done at the end."""
        config = self.config
        if isinstance(config, ClientTLS) and config.resume:
            session = self._connection.get_session()
            if session is not None:
                config.sessions[self._hostname or ""] = session
                while len(config.sessions) > SESSIONS:
                    config.sessions.popitem(last=False)

    def _fail(self, cause: str, *, alert: bool = True) -> None:
        """Record the first fault, and send the alert that OpenSSL has written, if there is one."""
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
    """Return the first `count` bytes of a buffer; as a copy if they are few, so that they do not keep the buffer."""
    data = buffer[:count]
    return data if count > len(buffer) // 2 else bytes(data)


def _cause(error: SSL.Error, connection: SSL.Connection) -> str:
    """Return one line with the cause: the fault of the peer's certificate, or else OpenSSL's reason."""
    verdict: Verdict = connection.get_app_data()
    return tls_openssl.cause_of(error) if verdict.fault is None else verdict.fault
