"""Calls that ``torch.compile`` leaves as they are: what they do is compiled already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch

Function = TypeVar("Function", bound=Callable[..., Any])

REASON = "rules of varangian read vectors where they lie, by code of their own"


def untraced(function: Function) -> Function:
    """Break the graph at a function, and trace nothing that it calls.

    So does ``torch.compiler.disable``, which loads the whole compiler, and that takes longer than the rest.
    """
    marks: Any = function
    marks._torchdynamo_disable, marks._torchdynamo_disable_msg = True, REASON
    frames: Any = torch._C._dynamo.eval_frame
    if hasattr(frames, "set_code_exec_strategy"):  # else the compiler tries each of them in vain
        skip = frames._FrameAction.SKIP
        frames.set_code_exec_strategy(marks.__code__, frames._FrameExecStrategy(skip, skip))
    return function
