"""What makes the parts of the documentation that are made from the code. Not in the wheel."""
