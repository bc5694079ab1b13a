"""The score of the fuzzer: how many planted defects `dicos fuzz` finds, how soon, how small its reproducers are."""
