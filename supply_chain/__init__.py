"""What this project is built from: the pins with their hashes, known vulnerabilities, the bill of materials."""
