"""What a task on another machine must find as it is here: variables, working folder, threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cytolens.core.files import cache_dir

_VARIABLES = ("CYTOLENS_WEIGHTS", "CYTOLENS_STORE_LIMIT", "HF_HUB_OFFLINE", "HF_HOME")


@dataclass(frozen=True)
class Surroundings:
    """Set in a worker before each task: a worker may do tasks of several commands in turn.

    Attributes:
        variables: of the environment; None removes one.
        folder: the working folder, which relative paths start from.
        threads: of torch, and streams of OpenVINO.
    """

    variables: dict[str, str | None]
    folder: Path
    threads: int

    @classmethod
    def here(cls, threads: int) -> Surroundings:
        """Return those of this process."""
        variables = {name: os.environ.get(name) for name in _VARIABLES}
        variables["CYTOLENS_CACHE"] = str(cache_dir().absolute())
        variables["CYTOLENS_CORES"] = str(threads)
        variables["CUDA_VISIBLE_DEVICES"] = ""  # tasks that take no GPU would all see the first
        return cls(variables, Path.cwd(), threads)

    def enter(self) -> None:
        """Make this process like that; a working folder that is not there is left (see `probe`)."""
        for name, value in self.variables.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if self.folder.is_dir():
            os.chdir(self.folder)

    def do(self, function: Callable[..., Any], *args: Any) -> Any:
        """Do a task here, and return what it returns."""
        self.enter()
        import torch

        torch.set_num_threads(self.threads)
        return function(*args)
