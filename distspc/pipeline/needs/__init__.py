"""What a study needs before anything is computed: engines, how large its layers are, disk in rounds, tasks and time."""
