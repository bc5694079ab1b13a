"""The objects to send: CT objects of given sizes, each a file in a folder; and a certificate for TLS."""

from __future__ import annotations

import random
import shutil
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from struct import pack
from typing import Final

from dicos_proto.registry.uids import CT_IMAGE_STORAGE, EXPLICIT_VR_LE
from dicos_transports.files.writer import file_header

ROOT: Final = Path(__file__).resolve().parent.parent
SEED: Final = 7
SIZES: Final = {
    "1k": 1_000, "4k": 4_000, "32k": 32_000, "500k": 500_000, "300m": 300_000_000, "2g": 2_000_000_000,
}  # fmt: skip
"""Name of a size -> bytes of the data set."""
LARGE: Final = 1_000_000
DISTINCT: Final = {"1k": 500, "4k": 500, "32k": 200, "500k": 40, "300m": 1, "2g": 1}
"""Name of a size -> number of files; more objects are the same files again."""
SPARE: Final = 100_000_000
"""The bytes that must stay free on the disk."""


class NoSpace(Exception):
    """The temporary folder cannot hold the files; its one line names the missing space."""


class Files:
    """The files of each size in `folder`, which exists; made on demand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._made: dict[str, tuple[Path, ...]] = {}

    def of(self, size: str) -> tuple[Path, ...]:
        """The files of this size. Raises `NoSpace`."""
        if size not in self._made:
            self.check(0 if size == "2g" else SIZES[size] * DISTINCT[size])
            (self.folder / size).mkdir()
            self._made[size] = tuple(_object(self.folder / size, number, SIZES[size], sparse=size == "2g")
                                     for number in range(1, DISTINCT[size] + 1))  # fmt: skip
        return self._made[size]

    def check(self, needed: int) -> None:
        """Raise `NoSpace` if the disk has no room for `size` bytes."""
        free = shutil.disk_usage(self.folder).free
        if free < needed + SPARE:
            missing = f"{free >> 20} MiB free, {(needed + SPARE) >> 20} MiB needed"
            raise NoSpace(f"{self.folder}: {missing}; TMPDIR=... names another place")


def _object(folder: Path, number: int, size: int, *, sparse: bool) -> Path:
    """A CT object with only identifiers and private data, `size` bytes of data set; `sparse`: a hole of zeros, which
    takes no room on a disk."""
    instance = f"2.25.{SEED}.{number}"
    identifiers = b"".join(
        pack("<HH2sH", group, element, vr, len(value)) + value
        for group, element, vr, value in (
            (0x0008, 0x0016, b"UI", _even(CT_IMAGE_STORAGE)),
            (0x0008, 0x0018, b"UI", _even(instance)),
            (0x0008, 0x0060, b"CS", b"CT"),
            (0x0010, 0x0020, b"LO", b"NOBODY"),
            (0x0020, 0x000D, b"UI", _even(f"2.25.{SEED}")),
        )
    )
    # Pixel Data would have to match rows and columns; private data may have any size.
    creator = pack("<HH2sH", 0x7001, 0x0010, b"LO", 18) + b"DICOS-PROTO BENCH "
    rest = size - len(identifiers) - len(creator) - 12
    path = folder / f"{number:04d}.dcm"
    with open(path, "wb") as file:
        file.write(file_header(CT_IMAGE_STORAGE, instance, EXPLICIT_VR_LE) + identifiers + creator)
        file.write(pack("<HH2s2xI", 0x7001, 0x1000, b"OB", rest))
        if sparse:
            file.truncate(file.tell() + rest)
        else:
            piece = random.Random(number).randbytes(min(rest, LARGE))
            for at in range(0, rest, len(piece)):
                file.write(piece[: rest - at])
    return path


def _even(text: str) -> bytes:
    return text.encode() + b"\0" * (len(text) % 2)


def make_certificate(folder: Path) -> None:
    """A self-signed `cert.pem` with `key.pem` for 127.0.0.1, valid today."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "benchmark")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1")), x509.DNSName("localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
