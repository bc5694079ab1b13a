"""Run by the interpreter that has pyDICOS: its server. Prints READY, and at the end, on SIGINT, its error log.

pydicos_receiver.py PORT OPTIONS

OPTIONS is JSON: `names`: require application names; `user`: require a user name; `passcode`: one with a passcode;
`pfx`: [file, password] for TLS; `ciphers`; `compress`: False disables compression; `sop`: the SOP classes to accept.
"""

import json
import sys
import time

import pyDICOS as P  # type: ignore[import-not-found]

PORT, OPTIONS = int(sys.argv[1]), json.loads(sys.argv[2])

server = P.DcsServer()
server.SetIP(P.DcsString("127.0.0.1"))
server.SetPort(PORT)
server.SetApplicationName(P.DcsApplicationEntity("CENTRAL_SERVER"))
if OPTIONS.get("compress") is False:
    server.DisableDataCompression()
for uid in OPTIONS.get("sop", ()):
    server.IncludeSopClassUID(P.DcsUniqueIdentifier(uid))
allowed = None
if OPTIONS.get("names"):
    server.RequireApplicationNames()
    allowed = P.AuthenticationCallbackConnectsSpecificClientApps()
if OPTIONS.get("user"):
    server.RequireUserNameFromClient()
    allowed = P.AuthenticationCallbackConnectionsFromClientsValidUserName()
if OPTIONS.get("passcode"):
    server.RequireUserNameAndPasscodeFromClient()
    allowed = P.AuthenticationCallbackClientsPresentValidUserNamePasscode()
if "pfx" in OPTIONS:
    log = P.ErrorLog()
    done = server.SetSslCertificate(P.DcsString(OPTIONS["pfx"][0]), P.DcsString(OPTIONS["pfx"][1]), log)
    server.SetTLSClientCertificateRequired(False)  # with it, the first handshake ends the process
    server.SetSslAllowedCiphers(P.DcsString(OPTIONS["ciphers"]))
    print("TLS", done, log.GetErrorLog().Get())
callback = P.DataProcessingMultipleConnections()
if not server.StartListening(callback, allowed, P.RETRIEVE_METHOD.enumMethodUserAPI, False):
    sys.exit("does not listen")
until = time.monotonic() + 10
while not server.IsActivelyAcceptingConnections() and time.monotonic() < until:
    time.sleep(0.02)
print("READY", flush=True)
try:
    time.sleep(600)
except KeyboardInterrupt:
    pass
time.sleep(0.3)  # what is received is read in a queue of its own
found = P.DcsString()
server.GetErrorLog(found)
print("errorlog:", repr(found.Get()), flush=True)
server.StopListening()
print("STOPPED", flush=True)
