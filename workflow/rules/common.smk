# What every rule shares: wildcards and the container that pins the platform.


wildcard_constraints:
    study="[a-z][a-z0-9_]*",


container: "docker://python:3.11-slim"
