"""Where pyDICOS is installed, in a virtual environment of its own, and the script that runs there."""

import os
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dicos-proto" / "pydicos"
PYTHON = Path(os.environ.get("PYDICOS_VENV") or CACHE) / "bin" / "python"
SCRIPT = Path(__file__).parent / "pydicos_objects.py"
