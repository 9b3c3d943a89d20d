"""The stages of a study, a file each; `registry` lists them."""
