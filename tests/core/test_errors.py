"""Exit codes are a contract with other programs."""

from __future__ import annotations

import pytest

from core.errors import Cancelled, EarlyEnd, LlmoptError, RequestError, RunFailed


@pytest.mark.parametrize(("error", "exit_code"), [(LlmoptError, 1), (RunFailed, 1), (RequestError, 2), (Cancelled, 130)])
def test_every_error_has_its_exit_code_and_is_caught_as_one(error: type[EarlyEnd], exit_code: int) -> None:
    assert error.exit_code == exit_code
    with pytest.raises(EarlyEnd, match=r"^one sentence$"):
        raise error("one sentence")


def test_a_library_that_catches_every_error_lets_a_cancel_pass() -> None:
    assert not issubclass(Cancelled, Exception)
