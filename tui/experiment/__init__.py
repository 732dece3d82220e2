"""What the tabs of experiments share: form and check, a run as it goes, starting and stopping, finished runs beside each other.

A tab is an `ExperimentPane` with a `SetupView` (its form), a `LiveRun` (its run as it goes) and views of results.
"""
