"""What carries a session: gRPC under mutual TLS with pinned certificates, dialled again when it breaks; or memory."""
