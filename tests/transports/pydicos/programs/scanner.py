# The scanner of the airport example.
from dicos_transports.pydicos import CTLoader, DcsClient
import time


class SecurityScanner:
    def __init__(self, server_ip, server_port):
        self.client = DcsClient()
        self.client.SetServerPortandIP(server_port, server_ip)
        self.client.SetSourceApplication("SCANNER_1")
        self.client.SetDestinationApplication("SECURITY_CENTER")

    def scan_and_send(self, luggage_id):
        # Simulate scanning (in a real system, this would interface with hardware)
        print(f"Scanning luggage {luggage_id}...")
        time.sleep(2)  # Simulate scan time
        # Create a CT scan (simplified for example)
        ct_scan = CTLoader()
        # ... populate ct_scan with real data ...
        # Send to server
        if self.client.ConnectToServer():
            print("Connected to security center")
            if self.client.StartDicosSession(self.client.SOPCLASSUID.enumSopCT):
                if self.client.SendCT(ct_scan):
                    print(f"Luggage {luggage_id} scan sent successfully")
                else:
                    print("Failed to send scan:", self.client.GetErrorLog())
                self.client.StopDicosSession()
            self.client.DisconnectFromServer()
