"""What several data parties send of head and tail, of which the server half reads sums alone, or nothing.

agreement     MaskKey, Signatory: X25519 keys per attempt, signed by the workers' certificates; a secret for each pair
fixed_point   numbers as whole ones modulo 2^64, in which masks cancel exactly
seals         Seals: what one party hands on to another, encrypted
masks         Masks: what a party adds to its numbers in one step
"""
