"""`llmopt evaluate` as other programs call it: one JSON document on stdout, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

COMMAND = (sys.executable, "-c", "import sys; from tui.cli import main; sys.exit(main())", "evaluate")


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=300)


def test_a_model_beside_its_reference_is_one_document(tiny_llama_dir: Path, noisy_llama_dir: Path, novel: Path) -> None:
    text = ("--text", str(novel), "--context", "64", "--tokens", "256", "--json")
    done = call(str(noisy_llama_dir), "--reference", str(tiny_llama_dir), *text)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert list(document)[:2] == ["schema", "llmopt_version"]
    for name in ("ppl", "bits_per_byte", "tokens", "ppl_ratio", "kl_mean", "kl_se", "top1_agreement"):
        assert document[name] == document["metrics"][name], name
    assert document["kl_mean"] > 0
    assert document["evaluation"]["corpus"] == "novel.txt"
    assert {"sha256", "context", "stride", "bos", "tokens_scored", "bytes"} <= document["evaluation"].keys()


def test_a_request_that_cannot_be_met_is_one_sentence_and_exit_code_2(tiny_llama_dir: Path) -> None:
    for arguments, sentence in (
        (("--context", "256"), "give --context 128 or less"),
        (("--context", "64", "--tokens", "32"), "do not fill one window"),
        (("--reference", str(tiny_llama_dir / "absent")), "no such path"),
    ):
        refused = call(str(tiny_llama_dir), *arguments)
        assert refused.returncode == 2, refused.stderr
        assert sentence in refused.stderr
        assert "Traceback" not in refused.stderr
        assert not refused.stdout
