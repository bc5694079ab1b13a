"""Runs the command as `python -m dicos_transports.cli`."""

import sys

from . import main

sys.exit(main())
