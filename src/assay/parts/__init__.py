"""What two or more systems share; empty until the second one needs a piece of the first."""
