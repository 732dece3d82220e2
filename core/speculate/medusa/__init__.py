"""Medusa (arXiv 2401.10774): heads on the target's last hidden state draft, and a tree of candidates is verified at once.

May import `bench`, `runtime`, `training` and `calibration`. Never the other drafters.
"""
