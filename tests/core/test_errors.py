"""Exit codes are a contract with other programs."""

from __future__ import annotations

import pytest

from core.errors import Cancelled, LlmoptError, RequestError, RunFailed


@pytest.mark.parametrize(("error", "exit_code"), [(LlmoptError, 1), (RunFailed, 1), (RequestError, 2), (Cancelled, 130)])
def test_every_error_has_its_exit_code_and_is_caught_as_one(error: type[LlmoptError], exit_code: int) -> None:
    assert error.exit_code == exit_code
    with pytest.raises(LlmoptError, match=r"^one sentence$"):
        raise error("one sentence")
