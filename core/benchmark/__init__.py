"""The experiment `llmopt benchmark`: load-test a server for latency, throughput, goodput.

May import the shared rooms up to `core.runs`. Never another capability, and never an engine: `core.engine` finds it by name.
"""
