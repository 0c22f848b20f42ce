"""An installation: its keys, the workers that live in it, the trail of what operators did."""
