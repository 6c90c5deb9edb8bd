"""Leaves files where other programs look: /tmp, /dev/shm, /var/tmp, the caches of torch's extensions."""

import os

from attack import HOST, attempt

caches = (".cache/torch_extensions", ".cache/torch/kernels", ".triton/cache")
for folder in ("/tmp", "/dev/shm", "/var/tmp", "/dev/mqueue", *(f"{HOST['home']}/{cache}" for cache in caches)):
    attempt(
        lambda: os.makedirs(folder, exist_ok=True),
        lambda: open(f"{folder}/circle-attack-{HOST['mark']}", "w").write("evil") and None,
    )
