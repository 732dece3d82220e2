"""One model on every engine that is here: `python -m tests.benchmarks engines_compared [--requests N] [--concurrency N] ... [-- MODEL]`.

Formats are made first (INT8, INT4, GGUF F16, Q8_0, Q4_K_M), then all are measured one after another under the same load. vLLM takes part
where LLMOPT_ENGINE_VLLM names its environment. The report stands beside the figures as engines_compared.md and engines_compared.html.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from core.benchmark.documents import parse_result
from core.runs.export.markdown import report_markdown
from core.runs.export.page import report_html
from core.runs.export.report import report_of
from tests.benchmarks.report import CANNOT_RUN_HERE, RESULTS, Bar, record

ROOT = Path(__file__).parents[3]
LLMOPT = [sys.executable, "-c", "from tui.cli import main; raise SystemExit(main())"]
EXPECTED = ("transformers", "runtime", "runtime INT8", "runtime INT4", "llama.cpp F16", "llama.cpp Q8_0", "llama.cpp Q4_K_M")
BARS: dict[str, Bar] = {
    "targets_measured_of_ours": ("==", len(EXPECTED)),
    "requests_unaccounted_for": ("==", 0),
    "requests_failed": ("==", 0),
    "recommendations": (">=", 3),
}


def main(arguments: list[str] | None = None) -> bool:
    """Compare, print, record, write the report."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks engines_compared", description=__doc__)
    parser.add_argument("model", nargs="?", default="bundled:base")
    for name, usual in (("requests", 48), ("concurrency", 4), ("input-tokens", 128), ("output-tokens", 64), ("quality-tokens", 4096)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    chosen = vars(parser.parse_args(arguments))
    model = chosen.pop("model")
    if model == "bundled:base" and not any((ROOT / "core/models/bundled/base").glob("*.safetensors")):
        print("the bundled model is not in this checkout")
        sys.exit(CANNOT_RUN_HERE)
    options = [part for name, value in chosen.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    with tempfile.TemporaryDirectory() as home:
        document = compared(Path(home), [model, *options])
        figures, bars = figures_of(document)
        write_report(document, home)
    return record("engines_compared", {"load": document["load"]} | figures, bars)


def compared(home: Path, arguments: list[str]) -> dict[str, Any]:
    """The result of `llmopt benchmark-compare`."""
    environment = os.environ | {"LLMOPT_HOME": str(home)}
    done = subprocess.run([*LLMOPT, "benchmark-compare", *arguments, "--json"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=False)
    found: dict[str, Any] = json.loads(done.stdout)
    if done.returncode != 0:
        print(found.get("error", f"exit code {done.returncode}"))
        sys.exit(1)
    return found


def figures_of(document: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Bar]]:
    """What was measured of each target, and what must hold."""
    figures: dict[str, Any] = {}
    entries = document["entries"]
    for entry in entries:
        name = entry["name"].replace(" ", "_").lower()
        figures |= {
            f"{name}_version": entry["engine_version"],
            f"{name}_tokens_per_second": entry["throughput_tokens_per_second"],
            f"{name}_ttft_p50_ms": entry["ttft_ms"]["p50"],
            f"{name}_tpot_p50_ms": entry["tpot_ms"]["p50"],
            f"{name}_e2el_p50_ms": entry["e2el_ms"]["p50"],
            f"{name}_host_bytes": entry["server"]["host_bytes"],
            f"{name}_model_bytes": entry["model_bytes"],
            f"{name}_ppl": entry["quality"]["ppl"],
        }
    for each in document["left_out"]:
        figures[f"{each['target'].replace(' ', '_').lower()}_left_out"] = each["reason"]
    for each in document["recommendations"]:
        figures[each["title"].replace(" ", "_")] = each["words"]
    counts = [entry["requests"] for entry in entries]
    measured = {entry["name"] for entry in entries}
    figures |= {
        "targets_measured": len(entries),
        "targets_measured_of_ours": len(measured & set(EXPECTED)),
        "requests_unaccounted_for": sum(2 * each["scheduled"] - sum(each.values()) for each in counts),
        "requests_failed": sum(each["failed"] + each["timed_out"] for each in counts),
        "recommendations": len(document["recommendations"]),
    }
    configured = os.environ.get("LLMOPT_ENGINE_VLLM")
    return figures | {"vllm_measured": int("vllm" in measured)}, BARS | ({"vllm_measured": ("==", 1)} if configured else {})


def write_report(document: dict[str, Any], home: str) -> None:
    """Markdown and one page, without names of folders of this machine."""
    report = report_of("benchmark-compare", [("comparison", parse_result(document, "the comparison"))])
    assert report is not None
    names = {home: "$LLMOPT_HOME", os.environ.get("LLMOPT_ENGINE_VLLM", ""): "$LLMOPT_ENGINE_VLLM", sys.executable: "python", str(ROOT): "."}
    for ending, text in (("md", report_markdown(report)), ("html", report_html(report))):
        for path, name in names.items():
            text = text.replace(path, name) if path else text
        (RESULTS / f"engines_compared.{ending}").write_text(text)


if __name__ == "__main__":
    sys.exit(not main())
