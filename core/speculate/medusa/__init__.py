"""Medusa (arXiv 2401.10774): heads on the target's last hidden state draft, and a tree of their candidates is verified at once."""
