// A provider of dcmjs-dimse (npm) for tests: accepts every context in an uncompressed syntax, answers C-ECHO, C-STORE
// and C-FIND with success. Prints "listening" once it does. usage: node dcmjs_scp.js FOLDER-OF-NODE-MODULES PORT
const path = require('path');
const [, , folder, port] = process.argv;
const dcmjs = require(path.join(folder, 'dcmjs-dimse'));
const { CEchoResponse, CFindResponse, CStoreResponse } = dcmjs.responses;
const { Status, PresentationContextResult, TransferSyntax } = dcmjs.constants;
const uncompressed = [TransferSyntax.ImplicitVRLittleEndian, TransferSyntax.ExplicitVRLittleEndian];

dcmjs.log.setLevel('silent');

class Provider extends dcmjs.Scp {
  associationRequested(association) {
    for (const { id } of association.getPresentationContexts()) {
      const context = association.getPresentationContext(id);
      const syntax = context.getTransferSyntaxUids().find((one) => uncompressed.includes(one));
      if (syntax) context.setResult(PresentationContextResult.Accept, syntax);
      else context.setResult(PresentationContextResult.RejectTransferSyntaxesNotSupported);
    }
    this.sendAssociationAccept();
  }

  cEchoRequest(request, callback) {
    callback(succeeded(CEchoResponse.fromRequest(request)));
  }

  cStoreRequest(request, callback) {
    callback(succeeded(CStoreResponse.fromRequest(request)));
  }

  cFindRequest(request, callback) {
    callback([succeeded(CFindResponse.fromRequest(request))]);
  }

  associationReleaseRequested() {
    this.sendAssociationReleaseResponse();
  }
}

function succeeded(response) {
  response.setStatus(Status.Success);
  return response;
}

const server = new dcmjs.Server(Provider);
server.on('networkError', () => {}); // what a peer did is no concern of the server
server.listen(Number(port), { host: '127.0.0.1' });
server.server?.once('listening', () => console.log('listening'));
