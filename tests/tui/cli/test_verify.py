"""`llmopt verify` as other programs call it: the document, the exit code, and the table for people."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from core.evaluate.verify.result import VerifyResult
from tests.tui.cli.conftest import Llmopt
from tui.cli.printing.results import print_result


def test_a_check_that_falls_short_is_exit_code_3(
    llmopt: Llmopt, model_dir: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(model_dir, tmp_path / "q")
    config = json.loads((tmp_path / "q" / "config.json").read_text())
    (tmp_path / "q" / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "gptq", "bits": 4}}))
    answer = llmopt("verify", str(tmp_path / "q"), "--eval-tokens", "0", "--json")
    assert answer.code == 3
    document = json.loads(answer.out)
    assert list(document)[:2] == ["schema", "llmopt_version"]
    assert document["schema"] == "llmopt.verify/1"
    assert document["verified"] is False
    assert next(check["id"] for check in document["checks"] if check["status"] == "fail") == "configuration"

    monkeypatch.setenv("COLUMNS", "80")
    result = VerifyResult.read(document)
    assert result is not None
    print_result(result)
    shown = capfd.readouterr()
    assert "verified  no" in shown.out
    assert "FAILED    configuration" in shown.out
    assert max(len(line) for line in shown.out.splitlines()) <= 80
    assert "remove quantization_config" in shown.err
