"""`python -m core.runs.worker RUN_DIR`: carry one run out."""

from core.runs.worker.work import main

if __name__ == "__main__":
    raise SystemExit(main())
