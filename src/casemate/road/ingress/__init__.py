"""Which operation is this, in bounds and well formed?"""
