"""Runs that outlive the terminal: registry, folders, worker, launcher."""
