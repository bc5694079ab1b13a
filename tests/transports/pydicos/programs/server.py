# Receives CTs and stores them as files.
from dicos_transports.pydicos import DcsServer


# Create a callback to handle received data
class ScanReceiver:
    def OnReceivingCT(self, ct_data, client_ip):
        print(f"Received CT scan from {client_ip}")
        # Process the CT scan data
        volume = ct_data.get_volume_data()
        print(f"Volume dimensions: {volume.shape}")
        # Save the data locally
        ct_data.write(f"received_scan_from_{client_ip}.ct")
        return True


# Set up the server
server = DcsServer()
server.SetPort(9999)
server.SetIP("0.0.0.0")  # Listen on all network interfaces
server.SetApplicationName("CENTRAL_SERVER")
# Configure which DICOS types to accept
server.IncludeSopClassUID(server.SOPCLASSUID.enumSopCT)
# Start listening for connections
callback = ScanReceiver()
server.StartListening(callback)
# Keep the server running (in a real app, you might have a better way to do this)
try:
    print("Server is listening... Press Ctrl+C to stop")
    while True:
        pass
except KeyboardInterrupt:
    server.StopListening()
    print("Server stopped")
