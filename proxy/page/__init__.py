"""The inspector page of the admin server."""
