"""The files of a campaign: which there may be, and those that it goes on with.

Knows: options, folders, the claim of a folder. Must not know: how a campaign runs, what is in a report.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from dicos_transports.addresses import said
from dicos_transports.cli.output import shown

from ..campaign.claim import LOCK, Claimed, claim
from ..campaign.corpus import Corpus
from ..campaign.state import CORPUS, NAME, Saved, load
from ..json_text import DamagedFile
from .fuzz_report import REPORTS, try_outputs
from .keeping import refuse_used
from .outputs import Folders, clash, given
from .refusing import Refused

__all__ = ["Files"]


class Files:
    """The files of one campaign; it claims its folder, and makes the folders. A context manager. `saved`: the campaign
    that goes on, None for a new one. Raises `Refused`."""

    def __init__(self, options: argparse.Namespace, peer: str) -> None:
        self._options = options
        self._peer = peer
        self.folder: Path | None = options.resume or options.state
        with ExitStack() as stack:
            self._check()
            self._folders = stack.enter_context(Folders())
            self._make()
            try:
                if self.folder is not None:
                    self._claim(self.folder, stack)
                self.saved, self.corpus = self._read()
                refuse_used(options.output, None if self.saved is None else self.saved.totals)
                try_outputs(options)
            except DamagedFile as fault:
                raise Refused(shown(fault)) from None
            except OSError as error:
                raise Refused(f"{shown(error.filename or self.folder)}: {said(error)}") from None
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def keep(self) -> None:
        """Leaves the folders that were made, however the command ends: the campaign has begun."""
        self._folders.keep()

    def _check(self) -> None:
        """Refuses two outputs in one file, and one over an input."""
        options = self._options
        folders = given(("--output", options.output), ("--corpus", options.corpus))
        if options.corpus is not None:  # else both may be in one folder: their files have other names
            folders += given(("--state", options.state), ("--resume", options.resume))
        files = given(("--html", options.html), ("--tls-keylog", options.tls_keylog))
        if options.output is not None:
            files += [("--output", options.output / name) for name in REPORTS]
        if self.folder is not None:
            name = "--state" if options.state is not None else "--resume"
            files += [(name, self.folder / one) for one in (NAME, LOCK)]
        inputs = given(
            ("the capture file", options.pcap), ("the file of --known", options.known),
            ("the file of --log", options.log),
            ("the file of --tls-cert", options.tls_cert), ("the file of --tls-key", options.tls_key),
            ("the file of --tls-pfx", options.tls_pfx), ("the file of --tls-password-file", options.tls_password_file),
            ("the file of --tls-ca", options.tls_ca), ("the file of --tls-crl", options.tls_crl),
        )  # fmt: skip
        if line := clash(inputs, files) or clash((), folders):
            raise Refused(line)

    def _make(self) -> None:
        """Makes the folders. Raises `Refused`."""
        options = self._options
        for path in (options.state, options.output, options.corpus, options.html):
            if path is not None:
                try:
                    self._folders.make(path.parent if path is options.html else path)
                except OSError as error:
                    raise Refused(f"{shown(path)}: {error.strerror}") from None

    @staticmethod
    def _claim(folder: Path, stack: ExitStack) -> None:
        try:
            stack.enter_context(claim(folder))
        except Claimed as claimed:
            raise Refused(f"{shown(folder)}: {claimed}") from None
        except OSError as error:
            raise Refused(f"{shown(folder)}: {said(error)}") from None

    def _read(self) -> tuple[Saved | None, Corpus]:
        options, folder = self._options, self.folder
        saved = None
        if options.resume is not None:
            saved = load(options.resume)
            if saved.peer != self._peer:
                raise Refused(f"{shown(folder)}: a campaign against {shown(saved.peer)}, not {self._peer}")
        elif folder is not None and (folder / NAME).exists():
            raise Refused(f"{shown(folder)}: there is a campaign already; --resume goes on with it")
        where = options.corpus
        if where is None and folder is not None:
            where = folder / CORPUS
            self._folders.make(where)
        return saved, Corpus(where, own=options.resume is not None and options.corpus is None)
