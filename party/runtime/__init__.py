"""The running daemon: its control link, its answers to jobs, its pipes to peers, and the steps it runs."""
