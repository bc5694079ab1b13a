"""The names that modules of files and of applications had before they were split are the same objects still."""

from __future__ import annotations

import importlib

import pytest

FORMER = {
    "storing": "Batch FileInstance Incoming Stored discard plan prepare send_file store_awaited store_into "
    "ways take_all",
    "part10": "inspect read_chunks read_whole convert_chunks padded_chunks prepare Prepared can_convert find_files "
    "where remove_stale_parts Part10File Part10Writer Part10Error CONVERTIBLE CHUNK META_LIMIT",
    "part10_writer": "Part10Writer remove_stale_parts file_header file_name STALE_AFTER STALE_AT_ONCE",
    "instances": "FALLBACKS Offer instance offer taken",
    "answering": "LOG Asked CommitAsked Left Registered Reply StoreAsked answer",
}
NOW = (
    *(f"files.{name}" for name in ("part10", "data_sets", "finding", "sending", "receiving", "instances", "writer")),
    *("files.temporary", "application.asked", "application.answering", "application.committing", "application.faults"),
)


@pytest.mark.parametrize(("module", "name"), [(module, name) for module in FORMER for name in FORMER[module].split()])
def test_a_former_name_is_what_it_was(module: str, name: str) -> None:
    found = getattr(importlib.import_module(f"dicos_transports.{module}"), name)
    homes = [home for home in NOW if vars(importlib.import_module(f"dicos_transports.{home}")).get(name) is found]
    assert homes


def test_prepare_is_that_of_its_former_module() -> None:
    storing, part10 = (importlib.import_module(f"dicos_transports.{name}") for name in ("storing", "part10"))
    assert storing.prepare.__module__ == "dicos_transports.files.sending"
    assert part10.prepare.__module__ == "dicos_transports.files.data_sets"


def test_the_package_exports_what_it_lists() -> None:
    for name in ("files", "application"):
        package = importlib.import_module(f"dicos_transports.{name}")
        assert all(hasattr(package, one) for one in package.__all__)
        assert sorted(set(package.__all__)) == sorted(package.__all__)
