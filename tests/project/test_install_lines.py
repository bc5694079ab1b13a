"""The packages that documentation and messages say to install can be installed: this one is on no index."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
INSTALL = re.compile(r"pip\s+install\s+['\"]?dicos[-_]proto")


def test_nothing_says_to_install_the_package_from_an_index() -> None:
    files = subprocess.run(
        ["git", "ls-files", "*.md", "*.py", "*.sh"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    found = [
        name
        for name in files.stdout.split()
        if (CHECKOUT / name).is_file() and INSTALL.search((CHECKOUT / name).read_text("utf-8"))
    ]
    assert found == []
