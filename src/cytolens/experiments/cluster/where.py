"""Where the tasks of a command are done."""

from __future__ import annotations

from dataclasses import dataclass

from cytolens.core.errors import InputError
from cytolens.experiments.cluster.ray_cluster import RayCluster

ENGINES = ("local", "ray")


@dataclass(frozen=True)
class Where:
    """What the command line says of it.

    Attributes:
        engine: "local": this process and its children; "ray": a cluster.
        address: of a Ray cluster, "auto" or host:port; None: one of this machine's cores.
        threads: of a task on the cluster.
        devices: GPUs (without any: processes) that train each fold together, here.
    """

    engine: str = "local"
    address: str | None = None
    threads: int = 1
    devices: int = 1

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise InputError(f"There is no engine {self.engine!r}.", expected=" or ".join(ENGINES))
        if self.engine == "local" and (self.address is not None or self.threads != 1):
            raise InputError("--ray-address and --ray-threads have no effect without --engine ray.")
        if self.devices < 1:
            raise InputError("devices must be at least 1.")
        if self.is_cluster and self.devices != 1:
            raise InputError("--devices has no effect with --engine ray: a fold is one task there.")

    @property
    def is_cluster(self) -> bool:
        return self.engine == "ray"

    def join(self) -> RayCluster:
        """Join the cluster; see `RayCluster`."""
        assert self.is_cluster, "asked of a cluster alone"
        return RayCluster(self.address, self.threads)


HERE = Where()
