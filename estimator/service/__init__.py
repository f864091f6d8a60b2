"""The gRPC service: messages become domain nouns at its door, and leave as messages again.

`server.serve` runs it. One request passes `auth` → `servicer` → `runner` → `answers`, which reads the
message (`graph_message`, `graph_batch`), calls the engine, and writes the reply (`estimate_message`,
`device_message`). `status` is the one table from errors to codes, `limits` what a request may cost.
"""
