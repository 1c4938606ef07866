"""Tasks on a Ray cluster (the extra `ray`), which may be of this machine alone."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Collection, Hashable
from importlib.util import find_spec
from types import ModuleType, TracebackType
from typing import Any

from cytolens.core.errors import InputError
from cytolens.experiments.cluster.executor import TaskLost
from cytolens.experiments.cluster.surroundings import Surroundings

TRIES_AGAIN = 3  # after a worker or a node was lost
_PATIENCE = 10.0  # seconds for a connection
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray's coming default; else it warns
}


class RayCluster:
    """A cluster that is joined, or started in this machine; see `Executor`.

    A task that is lost with its worker or node is done again elsewhere, up to three times.

    Args:
        address: "auto" or host:port of a cluster that runs; None: one of this machine's cores.
        threads: of a task, as many cores as it takes of a node.

    Raises:
        InputError: Ray is not installed, no cluster answers, or no node has so many cores.
    """

    loses_one = True

    def __init__(self, address: str | None = None, threads: int = 1) -> None:
        if threads < 1:
            raise InputError(f"--ray-threads {threads} is less than 1.")
        self._ray = load_ray()
        self._joined = bool(self._ray.is_initialized())
        if not self._joined:
            self._connect(address)
        self.threads = threads
        nodes = self.nodes()
        self.slots = sum(int(cores) // threads for cores in nodes.values())
        if not self.slots:
            self.close()
            raise InputError(
                f"No node of the cluster has {threads} cores.", fix="lower --ray-threads."
            )
        words = f"{len(nodes)} node{'s' * (len(nodes) != 1)}, {self.slots} tasks at a time"
        self.said = f"Ray: {words}, {threads} thread{'s' * (threads != 1)} each"
        self._surroundings = Surroundings.here(threads)
        self._do = self._ray.remote(num_cpus=threads, max_retries=TRIES_AGAIN)(Surroundings.do)
        self._open: set[Any] = set()

    def _connect(self, address: str | None) -> None:
        try:
            _knock(address)
            self._ray.init(
                address=address or "local",
                include_dashboard=False if address is None else None,
                log_to_driver=False,
                logging_level="ERROR",
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(
                f"No Ray cluster answers at {address or 'this machine'}: {_line(error)}.",
                expected="a cluster started by `ray start --head`, of the same Ray and Python",
                fix="give its --ray-address host:port, or none to use this machine alone.",
            ) from error

    def nodes(self) -> dict[str, float]:
        """Return the cores of each node that is alive, by its id."""
        return {
            node["NodeID"]: node["Resources"].get("CPU", 0.0)
            for node in self._ray.nodes()
            if node["Alive"]
        }

    def on_each_node(self, function: Callable[..., Any], *args: Any) -> dict[str, Any]:
        """Do a task once on every node, whatever is busy there; return the results by address."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as OnNode

        names = {n["NodeID"]: n["NodeManagerAddress"] for n in self._ray.nodes() if n["Alive"]}
        tickets = {
            node: self._do.options(num_cpus=0, scheduling_strategy=OnNode(node, soft=False)).remote(
                self._surroundings, function, *args
            )
            for node in names
        }
        found = {node: self.result(ticket) for node, ticket in tickets.items()}
        return {f"{names[node]} ({node[:6]})": value for node, value in found.items()}

    def __enter__(self) -> RayCluster:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            for ticket in self._open:
                self._ray.cancel(ticket, force=True)
        self.close()

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        if not self._joined:
            self._ray.shutdown()

    def share(self, value: Any) -> Any:
        return self._ray.put(value)  # kept once a node, read by its tasks

    def submit(self, function: Callable[..., Any], *args: Any) -> Hashable:
        ticket: Hashable = self._do.remote(self._surroundings, function, *args)
        self._open.add(ticket)
        return ticket

    def wait(self, tickets: Collection[Hashable], seconds: float | None = None) -> set[Hashable]:
        return set(self._ray.wait(list(tickets), num_returns=1, timeout=seconds)[0])

    def result(self, ticket: Hashable) -> Any:
        self._open.discard(ticket)
        lost = self._ray.exceptions
        try:
            return self._ray.get(ticket)
        except lost.RayTaskError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, InputError):
                raise cause from None
            raise
        except lost.RayError as error:
            raise TaskLost(
                f"A task was lost with its worker {TRIES_AGAIN + 1} times; often the memory of a "
                f"node is used up ({_line(error)}).",
                fix="repeat the call: what is finished stays.",
            ) from error


def load_ray() -> ModuleType:
    """Return Ray, which reports nothing to anybody.

    Raises:
        InputError: it is not installed.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if find_spec("ray") is None:
        raise InputError("Ray is not installed.", fix="install it: pip install 'cytolens[ray]'.")
    import ray

    return ray


def _knock(address: str | None) -> None:
    """Find somebody at host:port; Ray itself would try for minutes.

    Raises:
        OSError: nobody is there.
        ValueError: it is no address.
    """
    if address is None or address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise ValueError("it is not of the form host:port")
    with socket.create_connection((host, int(port)), timeout=_PATIENCE):
        pass


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
