"""The tools that take operations by name say which there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from kernels.tools import coverage, mutate


@pytest.mark.parametrize("main", [coverage.main, mutate.main], ids=["coverage", "mutate"])
def test_an_operation_without_kernels_is_named_with_those_that_have_some(
    main: Callable[[Sequence[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["cbam", "self_attention"])
    assert ended.value.code == 2
    assert "'self_attention' has no kernels; expected some of cbam, channel_gate" in capsys.readouterr().err
