"""
Asynchronous events, from a 202 to their end.

    life        the state machine of one event: pure
    envelope    what destinations and dead letters are told: pure
    kept        an event and its life as bytes: pure
    lanes       whose turn it is: pure
    intake      takes events, durably
    driver      claims, runs, delivers
    quarantine  what has nowhere to go
"""
