"""The first weights of a party's own adapter come from a secret of its job."""
