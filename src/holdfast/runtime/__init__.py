"""The I/O shell that all domains share: TLS identities, remote calls, secrets, commands, processes, logs."""
