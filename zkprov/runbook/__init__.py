"""Files of steps with maintenance windows: read, checked, laid out in time, carried out; imports `run` and what is below, never `cli`."""
