"""What goes around Sekisho, as far as it can be seen from inside."""
