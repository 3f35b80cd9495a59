"""What the runs say: pure functions of DataFrames, without torch, files or printing.

- ``convergence``: when each run reached its target, and the table over norms and sweep points
- ``survival``: Kaplan-Meier curve and log-rank test of the time to target
- ``comparison``: paired comparison of norms, with interval, p-value and verdict
- ``statistics``: the array arithmetic under ``comparison``
- ``signal``: how gradients grow from layer to layer
- ``fairness``: did all norms start from the same backbone and see the same batches
- ``pivot``: one metric against one sweep key

Import from the modules; this file stays empty so that ``normbench --help`` does not load scipy.
"""
