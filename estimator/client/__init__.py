"""The `Estimator` that people call from Python: in this process (`local`) or over gRPC (`remote`), one surface.

A remote one traces the model here (`model`), sends shapes and no weights (`graph_message`,
`batch_builder`), and reads the answer (`estimate_message`) or rebuilds the error (`failure`).
"""
