"""Where runs are trained: `local` on this machine; `sandbox` protects it from them, `trees` and `data` are all they see."""
