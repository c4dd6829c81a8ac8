"""What an operator sees and does, independent of where it is shown: commands, console, metrics."""
