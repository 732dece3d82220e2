"""The rooms and their arrows, and the sizes that keep them readable."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("core", "engines", "tui")


def sources(*rooms: str) -> list[Path]:
    return [path for room in rooms for path in sorted((ROOT / room).rglob("*.py"))]


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def circles(arrows: Mapping[str, Iterable[str]]) -> set[frozenset[str]]:
    """Largest groups of names from each of which the arrows lead to all others."""
    reached: dict[str, set[str]] = {}
    for start in arrows:
        found, waiting = set[str](), list(arrows[start])
        while waiting:
            if (name := waiting.pop()) not in found:
                found.add(name)
                waiting.extend(arrows.get(name, ()))
        reached[start] = found
    return {frozenset(other for other in reached[name] if name in reached.get(other, ())) for name in reached if name in reached[name]}


def imports() -> dict[str, set[str]]:
    """Modules that each module imports, be it only for types or inside a function."""
    graph = grimp.build_graph(*ROOMS)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def siblings(modules: Mapping[str, Iterable[str]]) -> dict[str, dict[str, set[str]]]:
    """For each room, the arrows between what lies directly in it: of two modules, where their paths part."""
    rooms: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for importer, imported in ((importer, imported) for importer, many in modules.items() for imported in many):
        ours, theirs = importer.split("."), imported.split(".")
        shared = next((at for at, (one, other) in enumerate(zip(ours, theirs, strict=False)) if one != other), None)
        if shared:
            rooms[".".join(ours[:shared])][ours[shared]].add(theirs[shared])
    return rooms


def test_circles_are_found() -> None:
    arrows = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": {"e"}, "e": set[str]()}
    assert circles(arrows) == {frozenset("bc")}
    assert circles({"a": {"b"}, "b": set()}) == set()
    assert siblings({"r.x.a": {"r.y.b", "r.x.c"}, "r.y": {"r.x.d"}, "r": {"r.x"}}) == {"r": {"x": {"y"}, "y": {"x"}}, "r.x": {"a": {"c"}}}


def test_no_files_and_no_folders_import_each_other_in_a_circle() -> None:
    modules = imports()
    assert circles(modules) == set()
    assert {room: found for room, arrows in siblings(modules).items() if (found := circles(arrows))} == {}


def test_the_arrows_between_the_rooms_hold() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("room", sorted(path.parent for path in sources(*ROOMS) if path.name == "__init__.py"), ids=named)
def test_every_room_has_a_doorplate(room: Path) -> None:
    """What it is for, what it may import, and what never belongs there, in two to four lines."""
    plate = ast.get_docstring(ast.parse((room / "__init__.py").read_text())) or ""
    lines = [line for line in plate.splitlines() if line]
    assert 2 <= len(lines) <= 4, plate
    assert re.search(r"[Ii]mport", plate), plate
    assert re.search(r"[Nn]ever", plate), plate


def test_every_folder_with_modules_is_a_room() -> None:
    assert {named(path.parent) for path in sources(*ROOMS) if not (path.parent / "__init__.py").exists()} == set()


def test_the_page_on_architecture_names_what_is_there() -> None:
    named_paths = re.findall(r"`((?:core|engines|tui|tests|docs)/[\w./-]*)`", (ROOT / "ARCHITECTURE.md").read_text())
    assert len(named_paths) > 30
    coming = tuple(f"core/{room}/" for room in ("checklist", "distill", "pipeline", "prune") if not (ROOT / "core" / room).exists())
    missing = {path for path in named_paths if not (ROOT / path).exists() and "NAME" not in path and not path.startswith(coming)}
    assert missing == set()
    folders = {Path(path).parent for path in named_paths if "NAME" in path and path.startswith(ROOMS) and not path.startswith(coming)}
    assert {str(folder) for folder in folders if not (ROOT / folder).is_dir()} == set()


def test_no_file_passes_400_lines() -> None:
    assert [named(path) for path in sources(*ROOMS, "tests") if len(path.read_text().splitlines()) > 400] == []


def test_no_folder_passes_14_files() -> None:
    counted = Counter(path.parent for path in sources(*ROOMS, "tests", "snapshots"))
    assert {named(folder): files for folder, files in counted.items() if files > 14} == {}


def test_the_app_stays_small() -> None:
    assert len((ROOT / "tui" / "app.py").read_text().splitlines()) < 250
