"""Several processes that are one sidecar from outside."""
