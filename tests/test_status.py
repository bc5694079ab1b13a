"""Status codes: each falls into the category PS3.7 annex C gives it, and reads as one line."""

import pytest

from dicos_proto import status
from dicos_proto.status import Category, category, describe

CONSTANTS = {name: value for name, value in vars(status).items() if name.isupper() and not name.startswith("_")}


def annex_c(code: int) -> Category:
    """The table of PS3.7 annex C, typed from the standard by the digits it prints."""
    digits = f"{code:04X}"
    if digits == "0000":
        return Category.SUCCESS
    if digits in ("0001", "0107", "0116") or digits[0] == "B":
        return Category.WARNING
    if digits == "FE00":
        return Category.CANCEL
    if digits in ("FF00", "FF01"):
        return Category.PENDING
    return Category.FAILURE


def test_every_code_falls_into_the_category_of_annex_c() -> None:
    wrong = [f"{code:04X}" for code in range(0x10000) if category(code) is not annex_c(code)]
    assert wrong == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (0x0000, Category.SUCCESS),
        (0x0001, Category.WARNING),
        (0x0002, Category.FAILURE),
        (0x0106, Category.FAILURE),
        (0x0107, Category.WARNING),
        (0x0116, Category.WARNING),
        (0xA700, Category.FAILURE),
        (0xAFFF, Category.FAILURE),
        (0xB000, Category.WARNING),
        (0xBFFF, Category.WARNING),
        (0xC000, Category.FAILURE),
        (0xFE00, Category.CANCEL),
        (0xFE01, Category.FAILURE),
        (0xFF00, Category.PENDING),
        (0xFF01, Category.PENDING),
        (0xFF02, Category.FAILURE),
        (0xFFFF, Category.FAILURE),
    ],
)
def test_categories_at_the_borders_of_the_ranges(code: int, expected: Category) -> None:
    assert category(code) is expected


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0x0000, "0x0000 Success (success)"),
        (0x0107, "0x0107 Attribute list error (warning)"),
        (0x0122, "0x0122 Refused: SOP class not supported (failure)"),
        (0x0211, "0x0211 Unrecognized operation (failure)"),
        (0xA700, "0xA700 Refused: out of resources (failure)"),
        (0xA7FF, "0xA7FF Refused: out of resources (failure)"),
        (0xA800, "0xA800 (failure)"),
        (0xA9A9, "0xA9A9 Error: data set does not match SOP class (failure)"),
        (0xB000, "0xB000 Coercion of data elements (warning)"),
        (0xB006, "0xB006 Elements discarded (warning)"),
        (0xB007, "0xB007 Data set does not match SOP class (warning)"),
        (0xB008, "0xB008 (warning)"),
        (0xC000, "0xC000 Error: cannot understand (failure)"),
        (0xCFFF, "0xCFFF Error: cannot understand (failure)"),
        (0xFE00, "0xFE00 Cancelled (cancel)"),
        (0xFF00, "0xFF00 Pending (pending)"),
    ],
)
def test_a_status_reads_as_one_line(code: int, text: str) -> None:
    assert describe(code) == text


def test_every_named_code_has_a_text_and_no_two_share_a_value() -> None:
    assert len(set(CONSTANTS.values())) == len(CONSTANTS)
    for code in CONSTANTS.values():
        assert len(describe(code).split()) > 2, describe(code)
