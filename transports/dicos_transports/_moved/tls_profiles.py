"""`dicos_transports.tls_profiles` is `dicos_transports.tls.profiles`."""

import sys

import dicos_transports.tls.profiles

sys.modules[__name__] = dicos_transports.tls.profiles
