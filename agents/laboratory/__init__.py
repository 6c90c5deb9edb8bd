"""Where runs are trained: `local` on this machine; `sandbox` is what protects the machine from them."""
