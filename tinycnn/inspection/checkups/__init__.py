"""Checks of `tinycnn.inspection.diagnose`: each returns findings, and none changes what it is given.

::

    findings: a Finding      case: what is examined, on copies      association: do labels follow from images?
    labels, images: the data      settings: outputs, loss, optimizer, layers
    weights, signals: the network at its start      runs: a few steps
"""
