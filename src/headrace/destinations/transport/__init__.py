"""What destinations share: HTTP, object stores, SFTP."""
