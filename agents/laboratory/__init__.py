"""Where runs are trained: `local` on this machine, which `sandbox` protects; `trees` and `data` are all they see."""
