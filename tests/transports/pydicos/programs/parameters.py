# The settings of a client: timeouts, TLS and compression.
from dicos_transports.pydicos import DcsClient

client = DcsClient()
client.SetServerPortandIP(9999, "192.168.1.100")
# Set communication timeouts
client.SetReadTimeoutInMilliseconds(5000)  # Wait up to 5 seconds for server response
client.SetWriteTimeoutInMilliseconds(8000)  # Wait up to 8 seconds when sending data
# Enable encryption for security
error_log = ""
client.SetSslCertificate("certificate.pfx", "password123", "ServerName", error_log)
client.EnableSsl(True)
# Enable data compression to save bandwidth
client.PrioritizeDataCompression(True)
if not client.ConnectToServer():
    print("Connection failed:", client.GetErrorLog())
    # Handle connection failure
