"""The modules that are mutated, the tests that run, and how pytest runs them."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, Phase, settings

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "dicos_proto"
MODULES = (
    "dimse.assembly",
    "upper_layer.framing",
    "upper_layer.machine",
    "upper_layer.policy",
    "upper_layer.negotiation",
    "upper_layer.agreement",
)

# Tests of these modules that need no peer and little time. Those left out are slow and general: they add nothing.
TESTS = (
    "association/test_association_random.py", "association/test_association_sendables.py",
    "association/test_deadlines.py", "association/test_endings.py", "association/test_tolerance.py",
    "conversation/test_conversations.py", "conversation/test_exchange.py", "conversation/test_flows.py",
    "conversation/test_planning.py", "dimse/test_assembly.py", "dimse/test_assembly_sizes.py",
    "upper_layer/test_extended.py", "upper_layer/test_framing.py", "upper_layer/test_framing_refused.py",
    "upper_layer/test_machine_table.py", "upper_layer/test_negotiation.py", "upper_layer/test_upper_layer_artim.py",
    "upper_layer/test_upper_layer_table.py",
)  # fmt: skip
LEFT_OUT = "not flag_changes_nothing and not any_bytes"
_NEGOTIATION = ("upper_layer/test_negotiation.py", "conversation/test_planning.py")
AT_IMPORT = {
    "dimse.assembly": (
        "dimse/test_assembly.py", "dimse/test_assembly_sizes.py", "conversation/test_exchange.py",
        "association/test_deadlines.py",
    ),
    "upper_layer.framing": (
        "upper_layer/test_framing.py", "upper_layer/test_framing_refused.py", "association/test_tolerance.py",
    ),
    "upper_layer.machine": ("upper_layer/test_machine_table.py", "upper_layer/test_upper_layer_table.py"),
    "upper_layer.policy": _NEGOTIATION,
    "upper_layer.negotiation": _NEGOTIATION,
    "upper_layer.agreement": _NEGOTIATION,
}  # fmt: skip

settings.register_profile(
    "mutation",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=25,
    phases=[Phase.explicit, Phase.generate],  # a failure is enough; nobody reads it
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
PYTEST = [
    "-x", "-s", "-p", "no:cacheprovider", "-p", "no:timeout", "-p", "no:terminal",
    "-o", "addopts=--import-mode=importlib", "-W", "ignore::pytest.PytestAssertRewriteWarning",
    "--hypothesis-profile=mutation", f"--rootdir={ROOT}",
]  # fmt: skip


def source_of(module: str) -> Path:
    """The file of a module; `module` is its dotted name within the package."""
    return ROOT / PACKAGE / f"{module.replace('.', '/')}.py"
