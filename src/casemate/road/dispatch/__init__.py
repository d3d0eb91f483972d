"""Run it: a control operation of a service, or an invocation in a cell."""
