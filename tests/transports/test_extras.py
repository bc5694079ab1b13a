"""Without the libraries of an extra, the error names the extra to install; what does not need it can be imported."""

import subprocess
import sys

import pytest


def imported(without: str, module: str) -> str:
    """The last line that an import of `module` prints to standard error in a process without that library."""
    code = f"import sys; sys.modules[{without!r}] = None; sys.path.insert(0, 'transports'); import {module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return [*done.stderr.strip().splitlines(), ""][-1 if done.returncode == 0 else -2]


@pytest.mark.parametrize("without", ["OpenSSL", "cryptography", "service_identity"])
@pytest.mark.parametrize(
    "module", ["dicos_transports.tls", "dicos_transports.tls.layer", "dicos_transports.tls_config"]
)
def test_tls_names_its_extra(without: str, module: str) -> None:
    assert "Error: TLS needs more libraries: pip install '.[tls]' in a checkout (" in imported(without, module)


def test_trio_names_its_extra() -> None:
    for module in ("dicos_transports.trio", "dicos_transports.trio.server"):
        assert "Error: trio is not installed: pip install '.[trio]' in a checkout (" in imported("trio", module)


def test_the_rest_needs_neither() -> None:
    for without in ("trio", "OpenSSL"):
        assert imported(without, "dicos_transports.blocking, dicos_transports.asyncio, dicos_transports.files") == ""
