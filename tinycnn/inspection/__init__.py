"""Inspection of networks and of their training: summaries, gradient checks, plots.

`summary` prints a network as a table, `gradcheck` compares gradients with finite differences, and `plots`
draws (it needs the extra `plot`).
"""
