"""The protocol between client and server and between servers, without I/O: messages, sign-on proof, state machines."""
