"""What is kept: the audit file and its chain, coverage, and the evidence that is drawn from them."""
