"""Masked sums: several data parties send numbers of which the server half can read the sum alone.

agreement     MaskKey, Signatory: X25519 keys per attempt, signed by the workers' certificates; a secret for each pair
fixed_point   numbers as whole ones modulo 2^64, in which masks cancel exactly
masks         Masks: what a party adds to its numbers in one step
"""
