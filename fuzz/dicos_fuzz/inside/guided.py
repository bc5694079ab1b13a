"""A target under atheris, which is guided by the coverage of the code that it imports.

Knows: atheris, an extra. Must not know: how else targets are run. Invariants: the body and its oracles are the same as
in every other run.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from .tapes import crash_of, write_tape
from .target import Target, Watch

__all__ = ["guided"]


def guided(target: Target, seconds: float, corpus: Path | None, crashes: Path) -> int:
    """Runs `target` with atheris for this many seconds. Returns 0, 1 for a finding, or 2 if atheris is not installed.

    atheris ends the process itself, so this rarely returns.
    """
    try:
        atheris = importlib.import_module("atheris")
    except ImportError:
        print("atheris is not installed: pip install 'dicos-proto[atheris]', on CPython 3.11", file=sys.stderr)
        return 2
    watch = Watch()

    def one(data: bytes) -> None:
        watch.begin()
        try:
            target.body(data, watch)
        except Exception as error:
            crash = crash_of(target.name, data, error)
            path = crashes / crash.file_name
            write_tape(path, data, f"target: {target.name}", f"found: {crash.error}")
            print(f"again: python -m dicos_fuzz.inside --target {target.name} --replay {path}", file=sys.stderr)
            raise

    folder = (corpus or Path("corpus")) / target.name
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (folder / f"seed-{number:03}.bin").write_bytes(seed)
    words = [
        sys.argv[0],
        str(folder),
        f"-max_total_time={seconds:.0f}",
        f"-max_len={target.longest}",
        "-timeout=60",
        "-rss_limit_mb=4096",
    ]
    atheris.instrument_all()
    atheris.Setup(words, one)
    atheris.Fuzz()
    return 0
