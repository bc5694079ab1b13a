"""Options of the subcommands that work on files only."""

from __future__ import annotations

from .options import Parser, add_output

__all__ = ["file_parser"]


def file_parser(name: str, text: str) -> Parser:
    """Return a parser with the options of the subcommands that work on files only."""
    made = Parser(prog=f"dicos {name}", description=text, allow_abbrev=False)
    add_output(made)
    made.set_defaults(debug=False)
    return made
