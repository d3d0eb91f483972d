"""What happened: the sealed audit, spans, metrics.  Opens first, closes always."""
