"""One process that sends requests when they are due; it imports nothing but what that takes.

The process (``python -m afterfit.loadtest.engine``) is told what to do in frames on its standard
input and answers in frames on its standard output; `afterfit.loadtest.generator` is the other end.
"""
