"""Inspection of networks and of their training: summaries, costs, gradient checks, diagnoses, plots.

`summary` prints a network as a table, `costs` counts and times its layers, `gradcheck` compares gradients
with finite differences, `diagnose` says why a network does not learn, and `plots` draws (it needs the extra
`plot`).
"""

from tinycnn.inspection.checkups.findings import Finding
from tinycnn.inspection.diagnosis import Diagnosis, diagnose

__all__ = ["Diagnosis", "Finding", "diagnose"]
