# The security center of the airport example.
from dicos_transports.pydicos import DcsServer
import threading


class SecurityCenter:
    def __init__(self, port=9999):
        self.server = DcsServer()
        self.server.SetPort(port)
        self.server.SetIP("0.0.0.0")  # Listen on all interfaces
        self.server.SetApplicationName("SECURITY_CENTER")
        # Accept CT scans and threat reports
        self.server.IncludeSopClassUID(self.server.SOPCLASSUID.enumSopCT)
        self.server.IncludeSopClassUID(self.server.SOPCLASSUID.enumSopTDR)

    def start(self):
        # Create and set callback
        callback = SecurityCenterCallback()
        self.server.StartListening(callback)
        print("Security center server started")

    def stop(self):
        self.server.StopListening()
        print("Security center server stopped")


class SecurityCenterCallback:
    def OnReceivingCT(self, ct_data, client_ip):
        print(f"Received CT scan from scanner at {client_ip}")
        # Start threat analysis in a separate thread
        threading.Thread(target=self.analyze_scan, args=(ct_data, client_ip)).start()
        return True

    def analyze_scan(self, ct_data, source_ip):
        print(f"Analyzing scan from {source_ip}...")
        # ... perform threat detection ...
        print("Analysis complete")
