"""How a target forgets, one family a folder, one method a file."""
