"""Prometheus metrics of servers. Needs `pip install '.[metrics]'` in a checkout.

    with serve(where, handler, policy=policy) as server, start(server, ("127.0.0.1", 9104)):
        server.wait()

`start` serves them over HTTP. A program that has its own registry and endpoint registers a `Collector` there instead.

Knows: `Metrics`, prometheus_client. Must not know: adapters, associations, HTTP (`metrics_http`). A scrape runs in a
thread of its own and copies the counters of each server under its lock, so it does not disturb event loops.
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
    raise ImportError(f"metrics need prometheus-client: pip install '.[metrics]' in a checkout ({error})") from error

from ..addresses import port_of, show_address
from .metrics_http import Page, PageServer
from .reception import Metrics

__all__ = ["Collector", "Counted", "Endpoint", "start"]


class Counted(Protocol):
    """The part of a server that `Collector` uses: a server of any adapter, or an object like one."""

    @property
    def address(self) -> str:
        """The address of the server, which is its name by default."""

    @property
    def metrics(self) -> Metrics:
        """The present counters of the server."""


Servers = Counted | Mapping[str, Counted]
"""One server, named by its address, or several by name."""

COUNTERS: Final = {
    "connections": ("dicos_connections", "Connections accepted by the system."),
    "accepted": ("dicos_associations_accepted", "Associations accepted."),
    "rejected": ("dicos_associations_rejected", "Associations refused by a limit, a policy or the user's identity."),
    "released": ("dicos_associations_released", "Associations that ended by a release."),
    "aborted": ("dicos_associations_aborted", "Associations that ended in another way."),
    "evicted": ("dicos_connections_evicted", "Connections closed without an association, to make room."),
    "unasked": ("dicos_connections_unasked", "Connections that ended before a request was answered."),
    "deviations": ("dicos_deviations", "Deviations from the standard that were accepted."),
    "failures": ("dicos_failures", "Handlers that raised."),
    "bytes_received": ("dicos_received_bytes", "Bytes received, including those of TLS."),
    "bytes_sent": ("dicos_sent_bytes", "Bytes sent, including those of TLS."),
}
"""Field of `Metrics` -> its Prometheus name, to which `_total` is added, and its help text."""
GAUGES: Final = {
    "pending": ("dicos_connections_pending", "Connections whose association request was not yet received or answered."),
    "active": ("dicos_associations_active", "Associations established at present."),
}
OPENMETRICS: Final = "application/openmetrics-text"
"""The media type of OpenMetrics, sent to scrapers that accept it; the others get the older text format."""
REQUESTS: Final = ("dicos_requests", "DIMSE requests received, by name.")


class Collector(BaseCollector):
    """A Prometheus collector that reads the counters of servers at each scrape."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics of all servers, each with the label `server`."""
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
    """The HTTP endpoint, returned by `start`. A context manager that stops it at the end."""

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
        """The address of the endpoint: `127.0.0.1:9104`."""
        return show_address(self._pages.name)

    @property
    def port(self) -> int:
        """The port of the endpoint."""
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
    """Serve the metrics of `servers` and of the process over HTTP at `/metrics`, in a thread of its own.

    `where`: (host, port), with port 0 for any free one. Anybody who can connect can read the metrics; they contain no
    AE titles and no addresses of peers. Raises `ListenFailed`.
    """
    return Endpoint(servers, where)
