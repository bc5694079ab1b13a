# The client of a server that requires client certificates.
from dicos_transports.pydicos import DcsClient

# On the client
client = DcsClient()
error_log = ""
client.SetSslCertificate("client_cert.pfx", "password", "ClientName", error_log)
client.EnableSsl(True)
