"""Execution: plans, fused layers and single-image programs. Read `plan` first.

::

    layers, situation -> plan.make_plan -> Plan: a list of runnables -> Sequential.forward, train_step
"""
