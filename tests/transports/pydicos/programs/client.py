# Sends a CT from a file to a server.
from dicos_transports.pydicos import CTLoader, dcsread, DcsClient

# Set up the client
client = DcsClient()
client.SetServerPortandIP(9999, "192.168.1.100")  # Server IP and port
client.SetSourceApplication("CT_SCANNER_1")  # Identify ourselves
client.SetDestinationApplication("CENTRAL_SERVER")  # Who we're sending to
# Load a CT scan from a file
ct_scan = dcsread("luggage_scan.ct")
# Connect and send the data
if client.ConnectToServer():
    if client.StartDicosSession(client.SOPCLASSUID.enumSopCT):
        # Send the CT scan
        success = client.SendCT(ct_scan)
        if success:
            print("Scan sent successfully!")
        else:
            print("Failed to send scan:", client.GetErrorLog())
        client.StopDicosSession()
    client.DisconnectFromServer()
