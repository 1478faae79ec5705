"""What `ways.py` promises: a way out for each code, in plain text."""

from __future__ import annotations

import pytest

from sync_cloud_storage.ways import WAYS, way_out


@pytest.mark.parametrize("code", WAYS)
def test_each_code_has_a_way_out_in_plain_text(code: str) -> None:
    """It says something, and nothing of the document's form."""
    assert way_out(code)
    assert "`" not in way_out(code)


def test_an_answer_without_a_line_of_its_own_goes_by_its_family() -> None:
    """A status of HTTP that nobody foresaw has the way out of all others; a word that is no code has none."""
    assert way_out("HTTP-418") == way_out("HTTP")
    assert way_out("HTTP-404") != way_out("HTTP")
    assert way_out("ZZZ-1") == way_out("") == ""
