"""AWS's services, each in its room: `service.py`, `model.py`, `store.py`."""
