"""What the runs say: pure functions of DataFrames, without torch, files or printing.

- ``convergence``: when each run reached its target, and the table over norms and sweep points
- ``survival``: Kaplan-Meier curve and log-rank test of the time to target
- ``rule``: the metric that carries the verdicts, and their words
- ``best_set``: which norms may be best, by the test of ``equality``
- ``comparison``: paired comparison with a baseline, with interval, p-value and verdict
- ``sequential``: looks fixed beforehand, and what each of them decides
- ``power``: what a number of seeds can find
- ``scores``: the same for numbers that others made
- ``paired_by_value``: the marks of a pivot
- ``statistics``, ``intervals``: the array arithmetic under these
- ``signal``: how gradients grow from layer to layer
- ``propagation``: the same at initialization, beside ``theory`` (with ``spatial`` and ``padding``
  for convolutions, ``quadrature`` for its integrals) and ``correlation``, how alike examples become
- ``fairness``: did all norms start from the same backbone and see the same batches
- ``pivot``: one metric against one sweep key

Import from the modules; this file stays empty so that ``normbench --help`` does not load scipy.
"""
