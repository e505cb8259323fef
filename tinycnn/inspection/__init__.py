"""Inspection of networks and of their training: summaries, costs, gradient checks, diagnoses, plots.

`summary` prints a network as a table, `plot_network` draws it, `costs` counts and times its layers.
`gradcheck` compares gradients with finite differences, `diagnose` says why a network does not learn. `trace`
keeps every array of one image, `terms` takes one number apart, `saliency` finds the pixels that matter.
`plots` draws by matplotlib (the extra `plot`).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinycnn.inspection.checkups.findings import Finding
    from tinycnn.inspection.diagnosis import Diagnosis, diagnose
    from tinycnn.inspection.network_plot import plot_network
    from tinycnn.inspection.picture import Picture

__all__ = ["Diagnosis", "Finding", "Picture", "diagnose", "plot_network"]


def __getattr__(name: str) -> Any:
    """Import what is asked for; who only trains does not wait for it (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in ("Picture", "plot_network"):
        from tinycnn.inspection.network_plot import Picture, plot_network

        return {"Picture": Picture, "plot_network": plot_network}[name]
    from tinycnn.inspection.diagnosis import Diagnosis, Finding, diagnose

    return {"Diagnosis": Diagnosis, "Finding": Finding, "diagnose": diagnose}[name]
