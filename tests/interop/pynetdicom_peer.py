"""pynetdicom in a process of its own; its options and its events are JSON.

    python -m tests.interop.pynetdicom_peer scp '{"syntaxes": [...], ...}'
    python -m tests.interop.pynetdicom_peer scu PORT '{"paths": [...], ...}'

It is a process because importing pynetdicom changes pydicom's dictionary of UIDs, which other tests use.
"""

from __future__ import annotations

import hashlib
import json
import signal
import ssl
import sys
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.pdu import A_ASSOCIATE_RJ
from pynetdicom.pdu_primitives import (
    AsynchronousOperationsWindowNegotiation,
    SCP_SCU_RoleSelectionNegotiation,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.presentation import build_context

from dicos_proto.registry import uids
from tests.interop.peers import settle

_VERIFICATION = [uids.VERIFICATION, [uids.IMPLICIT_VR_LE]]


def tell(name: str, **fields: object) -> None:
    print(json.dumps({"event": name, **fields}), flush=True)


def _ssl_context(options: dict[str, Any], protocol: int) -> ssl.SSLContext | None:
    if "tls" not in options:
        return None
    certificate, key, ca = options["tls"]
    context = ssl.SSLContext(protocol)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(ca)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


# -- provider ----------------------------------------------------------------------------------------------------------


def scp(options: dict[str, Any]) -> None:
    """Serve until killed. Each object is reported with its digest, and with `folder` stored as a file.

    `syntaxes`: accepted for every storage SOP class, or for `classes`. `any`: every proposed storage SOP class is
    accepted, those of DICOS included, which it knows by name but does not serve otherwise. `status`: the response
    to a C-STORE. `abort`: abort instead. `limit`: most associations. `require_called`, `require_calling`,
    `max_pdu`. `roles`: SOP class -> [scu, scp] that are granted. `extended`: SOP class -> hex of the answer; the
    request is reported. `identity`: [accepted, response]; the user is reported. `tls`: [certificate, key, CA] files,
    both sides with certificates. `archive`: files that are found, fetched and moved, to the AE titles and ports of
    `destinations`.
    """
    _config.UNRESTRICTED_STORAGE_SERVICE = options.get("any", False)
    ae = AE(ae_title=options.get("aet", "PYNETDICOM"))
    ae.maximum_pdu_size = options.get("max_pdu", 16382)
    ae.maximum_associations = options.get("limit", 10)
    ae.require_called_aet = options.get("require_called", False)
    ae.require_calling_aet = options.get("require_calling", [])
    ae.add_supported_context(*_VERIFICATION)
    for each in options.get("classes", uids.STORAGE_SOP_CLASSES):
        scu_role, scp_role = options.get("roles", {}).get(each, (None, None))
        ae.add_supported_context(each, options["syntaxes"], scu_role=scu_role, scp_role=scp_role)

    def stored(event: evt.Event) -> int:
        if options.get("abort"):
            event.assoc.abort()
            return 0
        data = event.request.DataSet.getvalue()
        tell(
            "stored",
            uid=str(event.request.AffectedSOPInstanceUID),
            syntax=str(event.context.transfer_syntax),
            bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            aet=event.assoc.requestor.ae_title,
        )
        if "folder" in options:
            meta = event.file_meta
            path = Path(options["folder"]) / f"{event.request.AffectedSOPInstanceUID}.dcm"
            path.write_bytes(event.encoded_dataset())
            assert meta.TransferSyntaxUID == event.context.transfer_syntax
        return int(options.get("status", 0))

    def told(event: evt.Event) -> None:
        tell(event.event.name[4:].lower())

    def extended(event: evt.Event) -> dict[str, bytes]:
        asked = {str(uid): information.hex() for uid, information in event.app_info.items()}
        tell("extended", asked=asked)
        return {uid: bytes.fromhex(answer) for uid, answer in options["extended"].items()}

    def identified(event: evt.Event) -> tuple[bool, bytes | None]:
        tell("identity", type=event.user_id_type, primary=event.primary_field.decode())
        accepted, response = options["identity"]
        return accepted, response.encode()

    handlers: list[evt.EventHandlerType] = [(evt.EVT_C_STORE, stored)]
    if "extended" in options:
        handlers.append((evt.EVT_SOP_EXTENDED, extended))
    if "identity" in options:
        handlers.append((evt.EVT_USER_ID, identified))
    if "archive" in options:
        handlers += archive(ae, options)
    handlers += [(event, told) for event in (evt.EVT_RELEASED, evt.EVT_ABORTED, evt.EVT_REJECTED)]
    context = _ssl_context(options, ssl.PROTOCOL_TLS_SERVER)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers, ssl_context=context)
    assert server is not None
    assert server.socket is not None
    tell("listening", port=server.socket.getsockname()[1])
    signal.pause()


def archive(ae: AE, options: dict[str, Any]) -> list[evt.EventHandlerType]:
    """Handlers for C-FIND, C-GET and C-MOVE: every key that has a value, without wildcards, has to be equal."""
    objects = [dcmread(path) for path in options["archive"]]
    for each in (*uids.QUERY_SOP_CLASSES, *uids.RETRIEVE_GET_SOP_CLASSES, *uids.RETRIEVE_MOVE_SOP_CLASSES):
        ae.add_supported_context(each, options["syntaxes"])

    def selected(event: evt.Event) -> list[Any]:
        asked = event.identifier
        tell("asked", keys={element.keyword: str(element.value) for element in asked})
        wanted = [one for one in asked if one.value and one.VR != "SQ" and one.keyword != "QueryRetrieveLevel"]
        return [ds for ds in objects if all(ds.get(one.keyword) == one.value for one in wanted)]

    def found(event: evt.Event) -> Any:
        seen = set()
        for ds in selected(event):
            match = Dataset()
            if "SpecificCharacterSet" in ds:
                match.SpecificCharacterSet = ds.SpecificCharacterSet
            for element in event.identifier:
                match.add(ds.get(element.tag, element))
            if str(match) not in seen:
                seen.add(str(match))
                if event.is_cancelled:
                    yield 0xFE00, None
                    return
                yield 0xFF00, match

    def fetched(event: evt.Event) -> Any:
        chosen = selected(event)
        yield len(chosen)
        for ds in chosen:
            yield 0xFF00, ds

    def moved(event: evt.Event) -> Any:
        port = options["destinations"].get(event.move_destination)
        if port is None:
            yield None, None
            return
        chosen = selected(event)
        contexts = [build_context(uid, options["syntaxes"]) for uid in {ds.SOPClassUID for ds in chosen}]
        yield "127.0.0.1", port, {"contexts": contexts}
        yield len(chosen)
        for ds in chosen:
            yield 0xFF00, ds

    return [(evt.EVT_C_FIND, found), (evt.EVT_C_GET, fetched), (evt.EVT_C_MOVE, moved)]


# -- user --------------------------------------------------------------------------------------------------------------


def scu(port: int, options: dict[str, Any]) -> None:
    """One association: `echoes` C-ECHOs, then the files at `paths`, as they are or if `decode` decoded and encoded.

    `contexts`: [abstract syntax, [transfer syntaxes]] pairs, beside those that files need. `identity`: [type, primary,
    secondary, wants a response]. `window`: [invoked, performed]. `roles`: [SOP class, scu, scp]. `extended`: [SOP
    class, hex]. `common`: [SOP class, service class, [related general SOP classes]]. `find`: a C-FIND on this SOP
    class. `abort`: at the end, instead of the release. `tls`: as of `scp`.
    """
    _config.STORE_SEND_CHUNKED_DATASET = not options.get("decode", False)
    ae = AE(ae_title=options.get("aet", "PYNETDICOM"))
    # Read from the PDU: where the connection is closed soon after it, pynetdicom 3.0.4 at times reports an abort.
    rejected: list[list[int]] = []

    def received(event: evt.Event) -> None:
        if isinstance(event.pdu, A_ASSOCIATE_RJ):
            rejected.append([event.pdu.result, event.pdu.source, event.pdu.reason_diagnostic])

    context = _ssl_context(options, ssl.PROTOCOL_TLS_CLIENT)
    association = ae.associate(
        "127.0.0.1",
        port,
        contexts=[build_context(*pair) for pair in _contexts(options)],
        ae_title=options.get("called", "ANY-SCP"),
        max_pdu=options.get("max_pdu", 16382),
        ext_neg=_negotiations(options),
        evt_handlers=[(evt.EVT_PDU_RECV, received)],
        tls_args=(context, "127.0.0.1") if context else None,
    )
    if not association.is_established:
        tell("refused", rejected=rejected[0] if rejected else None, aborted=association.is_aborted)
        return
    _tell_agreement(association)
    echoes = range(options.get("echoes", 0))
    tell("echoes", statuses=[settle(association).send_c_echo().get("Status") for _ in echoes])
    for path in options.get("paths", []):
        what: Any = dcmread(path) if options.get("decode") else Path(path)
        tell("answered", path=path, status=settle(association).send_c_store(what).get("Status"))
    if "find" in options:
        ds = Dataset()
        ds.QueryRetrieveLevel = "STUDY"
        answers = settle(association).send_c_find(ds, options["find"])
        tell("found", statuses=[status.get("Status") for status, _ in answers])
    if options.get("abort"):
        association.abort()
    else:
        association.release()
    tell("over", released=association.is_released, aborted=association.is_aborted)


def _contexts(options: dict[str, Any]) -> list[Any]:
    pairs: list[Any] = [_VERIFICATION, *options.get("contexts", [])]
    for path in options.get("paths", []):
        meta = read_file_meta_info(path)
        pair = [str(meta.MediaStorageSOPClassUID), [str(meta.TransferSyntaxUID)]]
        if pair not in pairs:
            pairs.append(pair)
    return pairs


def _negotiations(options: dict[str, Any]) -> list[Any]:
    items: list[Any] = []
    if "identity" in options:
        identity = UserIdentityNegotiation()
        identity.user_identity_type, primary, secondary, wanted = options["identity"]
        identity.primary_field = primary.encode()
        if secondary:
            identity.secondary_field = secondary.encode()
        identity.positive_response_requested = wanted
        items.append(identity)
    if "window" in options:
        window = AsynchronousOperationsWindowNegotiation()
        window.maximum_number_operations_invoked, window.maximum_number_operations_performed = options["window"]
        items.append(window)
    for sop_class, is_scu, is_scp in options.get("roles", []):
        role = SCP_SCU_RoleSelectionNegotiation()
        role.sop_class_uid, role.scu_role, role.scp_role = sop_class, is_scu, is_scp
        items.append(role)
    for sop_class, information in options.get("extended", []):
        extended = SOPClassExtendedNegotiation()
        extended.sop_class_uid = sop_class
        extended.service_class_application_information = bytes.fromhex(information)
        items.append(extended)
    for sop_class, service_class, related in options.get("common", []):
        common = SOPClassCommonExtendedNegotiation()
        common.sop_class_uid, common.service_class_uid = sop_class, service_class
        common.related_general_sop_class_identification = related
        items.append(common)
    return items


def _tell_agreement(association: Association) -> None:
    acceptor = association.acceptor
    window = acceptor.asynchronous_operations
    identity = acceptor.user_identity
    tell(
        "established",
        accepted=[[each.abstract_syntax, each.transfer_syntax[0]] for each in association.accepted_contexts],
        refused=[[each.abstract_syntax, each.result] for each in association.rejected_contexts],
        max_pdu=acceptor.maximum_length,
        window=list(window),
        roles={uid: [role.scu_role, role.scp_role] for uid, role in acceptor.role_selection.items()},
        identity=None if identity is None else (identity.server_response or b"").decode(),
        extended={uid: information.hex() for uid, information in acceptor.sop_class_extended.items()},
        own_roles=[[each.as_scu, each.as_scp] for each in association.accepted_contexts],
        implementation=str(acceptor.implementation_class_uid),
    )


def main() -> None:
    match sys.argv[1:]:
        case ["scp", words]:
            scp(json.loads(words))
        case ["scu", port, words]:
            scu(int(port), json.loads(words))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
