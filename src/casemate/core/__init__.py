"""The words of the house: the call as it grows, names, refusals, time."""
