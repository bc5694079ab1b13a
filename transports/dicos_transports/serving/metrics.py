"""The counters of servers for Prometheus. Needs `pip install 'dicos-proto[metrics]'`.

    with serve(where, handler, policy=policy) as server, start(server, ("127.0.0.1", 9104)):
        server.wait()

`start` serves them over HTTP; who has a registry and an endpoint already registers a `Collector` there.

Knows: `Metrics`, prometheus_client. Must not know: adapters, associations, HTTP (`metrics_http`). A scrape happens in a
thread of its own and copies the counters of each server under its lock: it disturbs no event loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Final, Protocol, Self

try:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.process_collector import ProcessCollector
    from prometheus_client.registry import Collector as BaseCollector
except ImportError as error:
    raise ImportError(f"metrics need prometheus-client: pip install 'dicos-proto[metrics]' ({error})") from error

from ..addresses import port_of, show_address
from .metrics_http import Page, PageServer
from .reception import Metrics

__all__ = ["Collector", "Counted", "Endpoint", "start"]


class Counted(Protocol):
    """A server, as far as its counters are told: that of any adapter, or what stands for one."""

    @property
    def address(self) -> str:
        """Its name, where it has no other one."""

    @property
    def metrics(self) -> Metrics:
        """Its counters as they are now."""


Servers = Counted | Mapping[str, Counted]
"""One server, whose address is then its name, or several by name."""

COUNTERS: Final = {
    "connections": ("dicos_connections", "Connections accepted by the system."),
    "accepted": ("dicos_associations_accepted", "Associations."),
    "rejected": ("dicos_associations_rejected", "Associations refused by a limit, a policy or the user's identity."),
    "released": ("dicos_associations_released", "Associations that ended by a release."),
    "aborted": ("dicos_associations_aborted", "Associations that ended in another way."),
    "evicted": ("dicos_connections_evicted", "Connections closed without an association, to make room."),
    "unasked": ("dicos_connections_unasked", "Connections that ended before a request was answered."),
    "deviations": ("dicos_deviations", "Deviations from the standard that were let through."),
    "failures": ("dicos_failures", "Handlers that raised."),
    "bytes_received": ("dicos_received_bytes", "Bytes received, those of TLS included."),
    "bytes_sent": ("dicos_sent_bytes", "Bytes sent, those of TLS included."),
}
"""Field of `Metrics` -> name, to which Prometheus adds `_total`, and what it counts."""
GAUGES: Final = {
    "pending": ("dicos_connections_pending", "Connections whose request has not come or is not answered."),
    "active": ("dicos_associations_active", "Associations now."),
}
OPENMETRICS: Final = "application/openmetrics-text"
"""The media type of those scrapers that read it; all read the older text format."""
REQUESTS: Final = ("dicos_requests", "Requests of the peers, by name.")


class Collector(BaseCollector):
    """Reads the counters of servers when it is asked to."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers

    def collect(self) -> Iterable[Metric]:
        """The metrics of all servers, each with the label `server`."""
        servers = self._servers if isinstance(self._servers, Mapping) else {self._servers.address: self._servers}
        seen = {name: server.metrics for name, server in servers.items()}
        for field, (name, what) in COUNTERS.items():
            counter = CounterMetricFamily(name, what, labels=["server"])
            for server, metrics in seen.items():
                counter.add_metric([server], getattr(metrics, field))
            yield counter
        for field, (name, what) in GAUGES.items():
            gauge = GaugeMetricFamily(name, what, labels=["server"])
            for server, metrics in seen.items():
                gauge.add_metric([server], getattr(metrics, field))
            yield gauge
        requests = CounterMetricFamily(*REQUESTS, labels=["server", "request"])
        for server, metrics in seen.items():
            for request, count in sorted(metrics.requests.items()):
                requests.add_metric([server, request], count)
        yield requests


class Endpoint:
    """Made by `start`. A context manager: left, it stops."""

    def __init__(self, servers: Servers, where: tuple[str, int]) -> None:
        registry = CollectorRegistry()
        registry.register(Collector(servers))
        ProcessCollector(registry=registry)

        def render(accept: str) -> Page:
            encode, content_type = choose_encoder(OPENMETRICS if OPENMETRICS in accept.lower() else "")
            return Page(content_type=content_type, body=encode(registry))

        self._pages = PageServer(where, render)

    @property
    def address(self) -> str:
        """What it listens on: `127.0.0.1:9104`."""
        return show_address(self._pages.name)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return port_of([self._pages.name])

    def stop(self) -> None:
        """Stop listening. May be called again."""
        self._pages.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start(servers: Servers, where: tuple[str, int] = ("127.0.0.1", 0)) -> Endpoint:
    """Serve the counters of `servers`, and those of the process, over HTTP at `/metrics` in a thread of its own.

    `where`: (host, port), port 0 takes a free one. Whoever can connect may read them: there are no AE titles and
    addresses of peers in them, and no protection around them. Raises `ListenFailed`.
    """
    return Endpoint(servers, where)
