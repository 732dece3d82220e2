"""How sparse each linear becomes; every rule keeps the asked-for total, weighted by parameters.

May import `plan`, `weights` and shared rooms. Never the walk that prunes.
"""
