"""Sends lines to a pipe: with the name of a file as second argument, what is in that."""

import sys

name = sys.argv[1]
text = "one\ntwo \x1b[2J\nümlaut \x9b\u202e\n"
with open(name, "w", encoding="utf-8") as pipe:
    pipe.write(text)
