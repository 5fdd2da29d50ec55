from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Small examples, few of them, the same each run; MVD_HYPOTHESIS=thorough looks further.
settings.register_profile("fast", max_examples=25, deadline=None, derandomize=True, print_blob=True)
settings.register_profile(
    "thorough", max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("MVD_HYPOTHESIS", "fast"))

# The tests are run from a checkout, whose mvd_toolkit/ has no built extension: programs they start
# must import the installed package, not what lies in the current folder.
os.environ["PYTHONSAFEPATH"] = "1"
