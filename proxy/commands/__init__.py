"""The groups of commands of ``sekisho`` that have a file of their own."""
