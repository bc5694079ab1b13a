"""A target under atheris, which is guided by the coverage of the code: `python -m dicos_fuzz.inside.guided TARGET ...`.

Knows: atheris, an extra. Must not know: how else targets are run. Invariants: the body and its oracles are the same as
in every other run. Nothing of the engine is imported before atheris can instrument it, so this is a process of its own.
"""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["guided", "main"]

_INSTRUMENTED = ("dicos_proto", "dicos_transports")
_MISSING = "atheris is not installed: pip install '.[atheris]' in a checkout, on CPython 3.11"


def guided(target: str, seconds: float, corpus: Path | None, crashes: Path) -> int:
    """Runs a target with atheris for this many seconds. `corpus`: a folder to begin with, which grows. Returns 0, 1 for
    a finding, 2 if atheris is not installed."""
    if importlib.util.find_spec("atheris") is None:
        print(_MISSING, file=sys.stderr)
        return 2
    words = [target, f"{seconds:.0f}", str(corpus or "corpus"), str(crashes)]
    done = subprocess.run([sys.executable, "-m", "dicos_fuzz.inside.guided", *words], check=False)
    return 1 if done.returncode else 0


def main(words: Sequence[str]) -> None:
    """Runs atheris: `words` are the target, seconds, and the folders for the corpus and for findings. atheris ends the
    process."""
    name, seconds, corpus, crashes = words
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=_INSTRUMENTED):
        targets = importlib.import_module("dicos_fuzz.inside.targets")
        tapes = importlib.import_module("dicos_fuzz.inside.tapes")
        watch = importlib.import_module("dicos_fuzz.inside.target").Watch()
    target = targets.TARGETS[name]

    def one(data: bytes) -> None:
        watch.begin()
        try:
            target.body(data, watch)
        except Exception as error:
            crash = tapes.crash_of(name, data, error)
            path = Path(crashes) / crash.file_name
            tapes.write_tape(path, data, f"target: {name}", f"found: {crash.error}")
            print(f"again: python -m dicos_fuzz.inside --target {name} --replay {path}", file=sys.stderr)
            raise

    folder = Path(corpus) / name
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (folder / f"seed-{number:04}.bin").write_bytes(seed)
    options = [f"-max_total_time={seconds}", f"-max_len={target.longest}", "-timeout=60", "-rss_limit_mb=4096"]
    options.append(f"-artifact_prefix={crashes}/")
    Path(crashes).mkdir(parents=True, exist_ok=True)
    atheris.Setup([sys.argv[0], str(folder), *options], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
