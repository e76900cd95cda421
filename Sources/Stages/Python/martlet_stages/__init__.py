"""The part of Martlet's model stages that needs PyTorch and Transformers.

A Swift worker starts ``python -m martlet_stages COMMAND --spec FILE`` in the task's workspace, reads JSON
lines from its standard output and the task's log from its standard error. Everything here works on local
files; storage, tracking, retries and leases belong to the worker.
"""

__version__ = "0.1.0"
