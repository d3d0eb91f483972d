"""The operator's words.  They only wrap operations of the API."""
