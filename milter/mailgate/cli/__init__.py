"""The command `mailgate`: what administrators and officers type; a file a group of commands."""
