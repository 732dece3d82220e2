"""The experiment `llmopt speculate-test`: does speculation leave the distribution unchanged?

May import `bench` and `verify`. Never the run of another experiment.
"""
