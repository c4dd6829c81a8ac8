"""Flower's defaults here: for this machine only, for looking only. A `FLOWER_…` variable wins.

Flower reads this file from the working directory after the environment, which is asked again here.
"""

import os


def _is_on(variable: str, default: str) -> bool:
    return os.environ.get(variable, default).strip().lower() in ("1", "true", "t", "yes", "y", "on")


address = os.environ.get("FLOWER_ADDRESS", "127.0.0.1")
read_only = _is_on("FLOWER_READ_ONLY", "true")
# A job's id begins with its request's, and its result says what became of it.
tasks_columns = os.environ.get(
    "FLOWER_TASKS_COLUMNS", "name,uuid,state,result,received,runtime,worker"
)
