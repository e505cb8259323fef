"""What runs, decided once: read `plan`, then `fused` and `single_image`.

::

    layers, situation -> plan.make_plan -> Plan: a list of runnables -> Sequential.forward, train_step
"""
