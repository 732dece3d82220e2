"""The sampler: GPUs, processors, memory, disks and processes, once per second.

May import `core.hardware.snapshot` and `core.hardware.surroundings`. Never raises because a driver refuses: the figure is None.
"""
