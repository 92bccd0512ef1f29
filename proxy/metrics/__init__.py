"""What is counted, and how it is told on ``/metrics``."""
