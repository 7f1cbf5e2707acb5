"""What runs inside the sandbox: standard library only, imported by a fresh interpreter that knows nothing of orbiter.

``zygote`` forks one job per program and ``job`` is what it forks; ``referee`` runs the tests, in a process of its own, and calls
the ``program`` in the job. ``confine``, ``seccomp`` and ``namespaces`` are what holds them. ``values`` and ``frames`` are the only language
that a job and the world outside share.
"""
