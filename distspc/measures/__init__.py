"""Further measures of images, a file each: `registry` finds them, the study file names them under `measures:`."""
