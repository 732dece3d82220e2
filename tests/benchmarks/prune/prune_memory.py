"""Peak memory of pruning a 1.1B-parameter Llama (TinyLlama's shape, random weights) block by block.

Each method runs in a process of its own; the peak is that process's largest resident set (VmHWM).
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks._silent import SilentContext
from tests.benchmarks.quantize.streaming_memory import make_model
from tests.benchmarks.report import Bar, record

SHARED: dict[str, Any] = {"eval_tokens": 0, "speed_tokens": 0, "calibration_samples": 16, "calibration_length": 512}
REQUESTS: dict[str, dict[str, Any]] = {
    "wanda": {"method": "wanda"},
    "sparsegpt": {"method": "sparsegpt"},
    "channels": {"method": "channels", "sparsity": 0.25},
    "layers": {"method": "layers", "sparsity": 0.25, "calibration_samples": 4, "calibration_length": 256},
}
_BARS: dict[str, Bar] = {
    "peak_rss_bytes_wanda": ("<=", 1.2e9),
    "peak_rss_bytes_sparsegpt": ("<=", 2.0e9),
    "peak_rss_bytes_channels": ("<=", 2.0e9),
    "peak_rss_bytes_layers": ("<=", 1.2e9),
}


def prune(model: Path, name: str, folder: Path) -> None:
    """In the child process: run once and print the metrics as JSON."""
    from core.prune.run import run
    from core.prune.spec import PruneSpec

    result = run(PruneSpec.model_validate({"model": str(model), **SHARED, **REQUESTS[name]}), SilentContext(folder))
    print(result.metrics.model_dump_json())


def main() -> bool:
    """Make the model, measure each method, print and record."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks prune_memory", description=__doc__)
    parser.add_argument("--only", choices=REQUESTS, nargs="+", default=list(REQUESTS), help="methods to measure; all are recorded together")
    arguments = parser.parse_args()
    figures: dict[str, float] = {}
    work = Path(tempfile.mkdtemp(prefix="llmopt-memory-"))
    try:
        make_model(work / "model")
        for name in arguments.only:
            folder = work / name
            folder.mkdir()
            command = [sys.executable, "-m", "tests.benchmarks.prune.prune_memory", str(work / "model"), name, str(folder)]
            done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
            if done.returncode:
                raise SystemExit(f"{name} failed")
            metrics = json.loads(done.stdout.splitlines()[-1])
            figures |= {f"peak_rss_bytes_{name}": metrics["peak_rss_bytes"], f"seconds_{name}": metrics["seconds"]}
            print(f"{name}: {metrics['peak_rss_bytes'] / 1e9:.3f} GB in {metrics['seconds']:.0f} s", flush=True)
            shutil.rmtree(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return record("prune_memory", figures, _BARS)


if __name__ == "__main__":
    if len(sys.argv) == 4 and Path(sys.argv[1]).is_dir():
        prune(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
    else:
        sys.exit(not main())
