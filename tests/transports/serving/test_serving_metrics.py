"""The Prometheus endpoint, scraped over HTTP."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import urllib.request
from dataclasses import fields

import pytest

from dicos_transports.addresses import ListenFailed
from dicos_transports.blocking import connect
from dicos_transports.serving import Metrics
from dicos_transports.serving.metrics import COUNTERS, GAUGES, Collector, start
from tests.transports.connections import CONTEXTS, CT, EXPLICIT, PATIENCE
from tests.transports.servers import ADAPTERS, serving


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def scrape(port: int) -> dict[str, float]:
    """Return all samples of the page: name and labels -> value."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE) as page:
        assert page.status == 200
        lines = page.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}


def test_a_scrape_has_what_the_server_counts(adapter: str) -> None:
    with serving(adapter) as running, start(running.server) as endpoint:
        assert endpoint.address == f"127.0.0.1:{endpoint.port}"
        here = f'{{server="{running.address}"}}'
        before = scrape(endpoint.port)
        assert before[f"dicos_connections_total{here}"] == before[f"dicos_associations_active{here}"] == 0
        with connect(("127.0.0.1", running.port), CONTEXTS) as session:
            session.echo()
            session.echo()
            session.store(CT, "1.2.3", EXPLICIT, bytes(1000))
            live = scrape(endpoint.port)
            assert live[f"dicos_associations_active{here}"] == 1
            assert live[f'dicos_requests_total{{request="C-ECHO-RQ",server="{running.address}"}}'] == 2
            assert live[f'dicos_requests_total{{request="C-STORE-RQ",server="{running.address}"}}'] == 1
            assert live[f"dicos_received_bytes_total{here}"] == session.driver.bytes_sent
        running.close()
        after, counted = scrape(endpoint.port), running.metrics
        for field, (name, _) in COUNTERS.items():
            assert after[f"{name}_total{here}"] == getattr(counted, field), name
        for field, (name, _) in GAUGES.items():
            assert after[f"{name}{here}"] == getattr(counted, field), name
        assert (counted.released, counted.active) == (1, 0)
        if sys.platform == "linux":
            assert after["process_resident_memory_bytes"] > 0


def test_every_counter_of_a_server_is_told() -> None:
    assert {*COUNTERS, *GAUGES, "requests"} == {field.name for field in fields(Metrics)}
    names = [name for name, _ in (*COUNTERS.values(), *GAUGES.values())]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("dicos_[a-z_]+", name) for name in names)


def test_several_servers_are_told_apart_by_name() -> None:
    with (
        serving("blocking") as one,
        serving("asyncio") as other,
        start({"images": one.server, "worklist": other.server}) as endpoint,
        connect(("127.0.0.1", other.port), CONTEXTS),
    ):
        page = scrape(endpoint.port)
        assert page['dicos_associations_accepted_total{server="images"}'] == 0
        assert page['dicos_associations_accepted_total{server="worklist"}'] == 1


def test_a_registry_of_ones_own() -> None:
    from prometheus_client import CollectorRegistry, generate_latest

    with serving("trio") as running:
        registry = CollectorRegistry()
        registry.register(Collector({"mine": running.server}))
        assert b'dicos_connections_total{server="mine"} 0.0' in generate_latest(registry)


def test_what_is_stopped_listens_no_more() -> None:
    with serving("blocking") as running:
        endpoint = start(running.server)
        port = endpoint.port
        endpoint.stop()
        endpoint.stop()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), PATIENCE).close()


@pytest.mark.parametrize("where", ["taken", ("127.0.0.1", 70_000), ("nonexistent.invalid", 0)])
def test_an_address_that_cannot_be_had_is_told(where: tuple[str, int] | str) -> None:
    with (
        serving("blocking") as running,
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ListenFailed, match="cannot listen on "),
    ):
        start(running.server, taken.getsockname() if isinstance(where, str) else where)


def test_without_the_package_the_error_says_what_to_install() -> None:
    code = "import sys; sys.modules['prometheus_client'] = None; sys.path.insert(0, 'transports'); import {}"
    command = [sys.executable, "-c", code.format("dicos_transports.serving.metrics")]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    last = found.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: metrics need prometheus-client: pip install '.[metrics]' in a checkout")
    for adapter in ADAPTERS:  # which need none
        command[-1] = code.format(f"dicos_transports.{adapter}, dicos_transports.serving")
        subprocess.run(command, check=True)
