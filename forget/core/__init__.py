"""What everything stands on: errors, the registry, knobs, steps, devices, workers, words."""
