"""What the tabs of experiments share: form and check, a run in progress, starting and stopping, finished runs compared.

A tab is an `ExperimentPane` with a `SetupView` (its form), a `LiveRun` (its run in progress) and views of results. May import `core`, `services`
and `widgets`. Never one capability.
"""
