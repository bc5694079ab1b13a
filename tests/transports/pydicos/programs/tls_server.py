# The server that requires client certificates.
from dicos_transports.pydicos import DcsServer

error_log = ""
# On the server
server = DcsServer()
server.SetSslCertificate("server_cert.pfx", "password", "ServerName", error_log)
server.SetTLSClientCertificateRequired(True)  # Require clients to authenticate
