"""The part of cloudJHub that runs within a machine's Jupyter Server: it says when there is work.

Travels to the machine with every start and is loaded there as ``cloudjhub_idle``. Python 3.8 and
what every Jupyter Server brings along; ``work`` needs the standard library only.
"""
