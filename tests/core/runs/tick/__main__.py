"""A worker that knows the capability: `python -m tests.core.runs.tick RUN_DIR`."""

import sys

from core.runs import registry
from core.runs.worker import supervise
from core.runs.worker import work as worker
from tests.core.runs.tick import CAPABILITY

registry.CAPABILITIES["tick"] = CAPABILITY
supervise.STEP_SECONDS = 0.5
sys.exit(worker.main())
