"""A process that is killed while it cuts leaves what the next one needs to end with the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.runs.resume_store import ResumeStore
from tests.core.conftest import RecordingContext
from tests.core.prune.structure.models import make, prune, spec_for

ROOT = Path(__file__).parents[4]
OPTIONS: dict[str, dict[str, Any]] = {
    "channels": {"sparsity": 0.5, "multiple_of": 8},
    "heads": {"remove": 2},
    "width": {"sparsity": 0.25, "multiple_of": 8},
    "layers": {"remove": 2, "calibration_samples": 6, "calibration_length": 40},
}


def killed_after(steps: int, method: str, folder: Path, out: Path, kept: Path) -> None:
    """In a process of its own: SIGKILL itself once so many steps are done."""

    def die(context: RecordingContext) -> bool:
        if context.steps and context.steps[-1][0] >= steps:
            os.kill(os.getpid(), signal.SIGKILL)
        return False

    context = RecordingContext(out.parent)
    context.cancel_when = die
    prune(spec_for(folder, method, **OPTIONS[method]), out, context, store=ResumeStore(kept))


@pytest.mark.slow
@pytest.mark.parametrize("method", OPTIONS)
def test_a_killed_cut_is_resumed_byte_for_byte(method: str, tmp_path: Path, context: RecordingContext) -> None:
    folder, kept, out = make("qwen3", tmp_path, num_hidden_layers=4), tmp_path / "kept", tmp_path / "resumed"
    spec = spec_for(folder, method, **OPTIONS[method])
    whole = prune(spec, tmp_path / "whole", context)
    code = "import sys; from pathlib import Path; from tests.core.prune.structure.test_killed import killed_after as k; "
    code += "k(int(sys.argv[1]), sys.argv[2], *map(Path, sys.argv[3:]))"
    for steps in (2, 3):
        command = [sys.executable, "-c", code, str(steps + 3 * (method == "layers")), method, str(folder), str(out), str(kept)]
        done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert not out.exists()
    assert prune(spec, out, context, store=ResumeStore(kept)) == whole
    for name in ("model.safetensors", "config.json"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
