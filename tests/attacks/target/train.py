"""An honest run, which every attack replaces."""

from attack import finish

finish()
