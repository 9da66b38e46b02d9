"""Networks: layer types (`ops`), the graph of layers (`graph`) and rewrites of it (`passes`)."""
