"""What is known of GMO Payment Gateway: its calls, its values, and how a message to it is reviewed."""
