"""Charts, one question a file: pure functions of DataFrames to Altair charts.

- ``palette``: a norm's colour, dash and shape, the same in every chart and in the terminal
- ``base``: the registry of charts and the data they are drawn from
- ``marks``: what the charts share

Import from the modules; this file stays empty so that a table in the terminal loads no Altair.
"""
