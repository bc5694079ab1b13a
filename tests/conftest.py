"""Settings all tests share. The default Hypothesis profile gives the same examples each time: a failure is a change."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "stable",
    derandomize=True,
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],  # a busy machine is no failure
)
# Longer and different every time: `pytest --hypothesis-profile=search`.
settings.register_profile("search", parent=settings.get_profile("stable"), derandomize=False, max_examples=5000)
settings.load_profile("stable")
