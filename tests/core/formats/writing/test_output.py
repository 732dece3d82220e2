"""An output that cannot be made is refused before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import RequestError
from core.formats.writing.output import check_output


@pytest.mark.parametrize("place", ["n" * 300, "n" * 245, "loop", "loop/out", "nowhere/out", "file/out", "file/a/b", "file"])
def test_a_place_where_no_folder_can_be_made_is_refused(place: str, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "nowhere").symlink_to("gone")
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="the output"):
        check_output(tmp_path / place)


def test_a_place_below_folders_that_are_not_there_yet_is_fine(tmp_path: Path) -> None:
    check_output(tmp_path / "a" / "b" / ("n" * 200))
