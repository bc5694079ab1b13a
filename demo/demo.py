"""A checkpoint in small: two scanners send bags to a screening station, which reports what it finds in them.

    make demo [FOLDER]

Makes two phantom bags (DICOS CT, 512 x 512 x 200, 16 bit), one with a threat and one without, and starts

- `dicos storescp`, the workstation that gets the reports,
- `dicos screen`, the station, which listens with TLS and without,
- two scanners, `dicos storescu`: one sends over TLS, one in the clear.

Then it shows what the station decided, how long that took, the report and the picture, and compares what is stored with
what was sent. Everything is left in FOLDER, build/demo by default.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID
from phantom import make_ct

from dicos_transports.files import part10

DICOS = [sys.executable, "-m", "dicos_transports.cli"]
FRAMES = 200
BAGS = {7: True, 8: False}
"""The number of each bag, and whether it has a threat."""
PATIENCE = 60  # seconds


def main() -> int:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent / "build" / "demo")
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("bags", "reports"):
        (folder / name).mkdir(parents=True)
    os.chdir(folder)
    heading(f"Two phantom bags, DICOS CT, 512 x 512 x {FRAMES}, 16 bit")
    for number, threat in BAGS.items():
        make_ct(f"bags/bag{number}.dcs", frames=FRAMES, seed=number, threat=threat)
        size = Path(f"bags/bag{number}.dcs").stat().st_size
        print(f"BAG-{number:04d}: {size / 1e6:.1f} MB, {'with' if threat else 'without'} a threat")
    make_certificate()
    with running("storescp", "0", "-aet", "WORKSTATION", "-od", "reports") as workstation:
        to = f"WORKSTATION@127.0.0.1:{workstation['listening']['port']}"
        with running(
            "screen", "0", "-od", "station", "--http", "0", "--report-to", to, "--tls-pfx", "station.pfx",
            "--tls-client-cert", "none", "--plain", "0",
        ) as station:  # fmt: skip
            return demonstrate(station)


def demonstrate(station: dict[str, Any]) -> int:
    url = f"http://127.0.0.1:{station['http']['port']}"
    heading("Two scanners send them: LANE-1 in the clear, LANE-2 over TLS")
    secure = "--tls-ca", "station.pem", "--tls-server-name", "127.0.0.1"
    failed = run("storescu", "127.0.0.1", station["plain"]["port"], "-aet", "LANE-1", "bags/bag7.dcs")
    failed |= run("storescu", "127.0.0.1", station["listening"]["port"], "-aet", "LANE-2", *secure, "bags/bag8.dcs")
    found = wait_for_reports(url)
    heading("Decisions of the station")
    for scan in found:
        report = scan["reports"][0]
        sent = report["deliveries"][0]["sent"]
        threats = ", ".join(threat["label"] for threat in scan["threats"]) or "nothing found"
        print(f"{scan['ooi_id']} from {scan['source']}: {report['decision']}: {threats}")
        print(f"  from the last byte: recognised in {ms(report['made'] - scan['received'])}, "
              f"report sent after {ms(sent - scan['received'])}")  # fmt: skip
    heading("The report on the first bag, as the workstation has it")
    reports = sorted(Path("reports").iterdir(), key=lambda path: path.stat().st_mtime)
    failed |= run("show", reports[0])
    heading("Pictures")
    for scan in found:
        shutil.copy(f"station/pictures/{scan['id']}.png", f"{scan['ooi_id']}.png")
        print(Path(f"{scan['ooi_id']}.png").resolve())
    right = [scan["decision"] for scan in found] == ["ALARM" if threat else "CLEAR" for threat in BAGS.values()]
    return compare() or failed or int(not right or len(reports) != len(BAGS))


def wait_for_reports(url: str) -> list[dict[str, Any]]:
    """Waits until both reports are sent and both pictures are drawn; returns the scans, oldest first."""
    end = time.monotonic() + PATIENCE
    while True:
        with urllib.request.urlopen(f"{url}/scans", timeout=PATIENCE) as answer:
            scans = sorted(json.load(answer)["scans"], key=lambda scan: scan["id"])
        deliveries = [one for scan in scans for report in scan["reports"] for one in report["deliveries"]]
        if len(deliveries) == len(BAGS) and all(one["sent"] for one in deliveries) and all(s["picture"] for s in scans):
            return scans
        if time.monotonic() > end:
            raise SystemExit("the station did not report in time")
        time.sleep(0.05)


def compare() -> int:
    heading("The stored scans, compared with the bags that were sent")
    digests = {digest(path) for path in Path("station/scans").iterdir()}
    same = sum(digest(path) in digests for path in Path("bags").iterdir())
    print(f"{same} of {len(BAGS)} data sets are the same, byte for byte")
    return int(same != len(BAGS))


def digest(path: Path) -> bytes:
    found = hashlib.sha256()
    for piece in part10.read_chunks(part10.inspect(path)):
        found.update(piece)
    return found.digest()


@contextmanager
def running(*words: str) -> Iterator[dict[str, Any]]:
    """Runs a provider; gives what it says when it has begun to listen, by the name of the event."""
    with subprocess.Popen([*DICOS, *words, "--json"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            said: dict[str, Any] = {}
            while "listening" not in said:
                event = json.loads(process.stdout.readline())
                said[event["event"]] = event
            yield said
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()


def run(*words: object) -> int:
    sys.stdout.flush()
    return subprocess.run([*DICOS, *map(str, words)], timeout=PATIENCE, check=False).returncode


def make_certificate() -> None:
    """A self-signed certificate for the station, valid for a day: station.pfx, and station.pem for the scanner."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "station of the demo")])
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    Path("station.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret = pkcs12.serialize_key_and_certificates(b"station", key, made, None, serialization.NoEncryption())
    with open(os.open("station.pfx", os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
        file.write(secret)


def ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms"


def heading(text: str) -> None:
    print(f"\n== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
