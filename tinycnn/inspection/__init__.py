"""Inspection of networks and of their training: summaries, costs, gradient checks, plots.

`summary` prints a network as a table, `costs` counts and times its layers, `gradcheck` compares gradients
with finite differences, and `plots` draws (it needs the extra `plot`).
"""
