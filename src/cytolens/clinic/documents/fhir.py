"""A report as a FHIR R5 Bundle; the system's findings are supporting information, not results.

Codes of LOINC are given where the specimen has one that says just this; else the code is a text.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from cytolens.clinic.documents.content import Model, Picture, ReportContent
from cytolens.clinic.documents.fhir_words import LOINC, SECTIONS, without_empty
from cytolens.clinic.documents.identifiers import case_uuid, hash_uri

Resource = dict[str, Any]
_TERMS = "http://terminology.hl7.org/CodeSystem"


def fhir(content: ReportContent, document: bytes | None = None) -> dict[str, Any]:
    """Return the report as a Bundle of R5, checked against its definition.

    Args:
        document: the report's PDF, to be carried along.

    Raises:
        ValueError: the content cannot be said in FHIR (pydantic's ValidationError).
    """
    from fhir.resources.bundle import Bundle

    made = without_empty(_Writer(content).bundle(document))
    Bundle.model_validate(made)
    return dict(made)


class _Writer:
    def __init__(self, content: ReportContent) -> None:
        self.content = content
        self.status = content.status if content.signed else "preliminary"
        self.at = content.doctor.signed_at or content.created_at

    def bundle(self, document: bytes | None) -> Resource:
        content = self.content
        resources = [
            self._report(document),
            self._patient(),
            self._laboratory(),
            self._doctor(),
            self._specimen(),
            self._category(),
            *(self._device(model) for model in content.models),
            self._system(),
            *(self._finding(picture) for picture in content.pictures),
            self._provenance(),
        ]
        return {
            "resourceType": "Bundle",
            "id": str(self._uuid("bundle", content.version)),
            "type": "collection",
            "timestamp": self.at,
            "entry": [{"fullUrl": f"urn:uuid:{one['id']}", "resource": one} for one in resources],
        }

    def _uuid(self, *names: object) -> Any:
        return case_uuid(self.content, "fhir", *names)

    def _ref(self, *names: object, display: str = "") -> Resource:
        return {"reference": f"urn:uuid:{self._uuid(*names)}", "display": display}

    def _report(self, document: bytes | None) -> Resource:
        content = self.content
        kind, found = content.specimen.kind, content.diagnosis
        code: Resource = {"text": f"Report of microscopy: {kind.name}"}
        if kind.code in LOINC:
            number, name = LOINC[kind.code]
            code["coding"] = [{"system": "http://loinc.org", "code": number, "display": name}]
        shown = [self._ref("system")] + [self._ref("finding", p.image) for p in content.pictures]
        notes = [content.disclaimer]
        if content.reason:
            notes.append(f"Amended: {content.reason}")
        return {
            "resourceType": "DiagnosticReport",
            "id": str(self._uuid("report", content.version)),
            "identifier": [
                {"type": {"text": "accession number"}, "value": content.specimen.accession},
                {"type": {"text": "version"}, "value": str(content.version)},
            ],
            "status": self.status,
            "category": [_coded(f"{_TERMS}/v2-0074", *SECTIONS.get(kind.code, ("", "")))],
            "code": code,
            "subject": self._ref("patient"),
            "effectiveDateTime": content.specimen.collected_on or content.specimen.received_at,
            "issued": self.at,
            "performer": [self._ref("laboratory", display=content.laboratory.name)],
            "resultsInterpreter": [self._ref("doctor", display=content.doctor.name)],
            "specimen": [self._ref("specimen")],
            "result": [self._ref("category")],
            "supportingInfo": [
                {"type": {"text": "finding of the system, not a diagnosis"}, "reference": one}
                for one in shown
            ],
            "note": [{"text": note} for note in notes],
            "conclusion": "\n\n".join(filter(None, (found.category.name, found.comment))),
            "conclusionCode": [self._category_code()],
            "presentedForm": [] if document is None else [self._form(document)],
        }

    def _form(self, document: bytes) -> Resource:
        return {
            "contentType": "application/pdf",
            "language": self.content.language,
            "data": base64.b64encode(document).decode("ascii"),
            "size": len(document),
            # FHIR asks for SHA-1 here; what is signed is a SHA-256 (Provenance).
            "hash": base64.b64encode(hashlib.sha1(document, usedforsecurity=False).digest()).decode(
                "ascii"
            ),
            "title": f"Report, version {self.content.version}",
            "creation": self.at,
        }

    def _patient(self) -> Resource:
        person = self.content.patient
        return {
            "resourceType": "Patient",
            "id": str(self._uuid("patient")),
            "identifier": [{"value": person.number, "assigner": self._ref("laboratory")}],
            "name": [{"family": person.family_name, "given": [person.given_name]}],
            "gender": person.sex,
            "birthDate": person.birth_date,
        }

    def _laboratory(self) -> Resource:
        site = self.content.laboratory
        return {
            "resourceType": "Organization",
            "id": str(self._uuid("laboratory")),
            "identifier": [{"value": site.code}],
            "name": site.name,
        }

    def _doctor(self) -> Resource:
        doctor = self.content.doctor
        return {
            "resourceType": "Practitioner",
            "id": str(self._uuid("doctor")),
            "identifier": [{"value": doctor.username}],
            "name": [{"text": doctor.name}],
        }

    def _specimen(self) -> Resource:
        sample, quality = self.content.specimen, self.content.quality
        said = [quality.adequacy.name] if quality.adequacy else []
        said += [word.name for word in quality.indicators]
        notes = [*said, quality.note, sample.clinical and f"Clinical question: {sample.clinical}"]
        return {
            "resourceType": "Specimen",
            "id": str(self._uuid("specimen")),
            "accessionIdentifier": {"value": sample.accession},
            "type": {"text": sample.kind.name},
            "subject": self._ref("patient"),
            "receivedTime": sample.received_at,
            "collection": {"collectedDateTime": sample.collected_on},
            "note": [{"text": note} for note in notes if note],
        }

    def _category_code(self) -> Resource:
        category = self.content.diagnosis.category
        return {
            "coding": [{"code": category.code, "display": category.name}],
            "text": f"{category.code}: {category.name}",
        }

    def _category(self) -> Resource:
        found = self.content.diagnosis
        return {
            **self._observation("category", "Category of the doctor"),
            "performer": [self._ref("doctor")],
            "effectiveDateTime": found.entered_at,
            "valueCodeableConcept": self._category_code(),
            "note": [{"text": found.comment}] if found.comment else [],
            "component": [
                _component("Against the system's finding", found.verdict),
                _component("Read before the system's finding was shown", found.blind),
            ],
        }

    def _device(self, model: Model) -> Resource:
        return {
            "resourceType": "Device",
            "id": str(self._uuid("device", model.bundle)),
            "identifier": [{"type": {"text": "bundle id"}, "value": model.bundle}],
            "displayName": model.name,
            "type": [{"text": "software: network for microscope images"}],
            "version": [
                {"value": model.version},
                {"type": {"text": "SHA-256 of the model"}, "value": model.weights},
            ]
            if model.weights
            else [{"value": model.version}],
            "note": [{"text": self.content.disclaimer}],
        }

    def _system(self) -> Resource:
        found = self.content.system
        counts = ("images", "clear", "abnormal", "refer", "undecided", "pending")
        components = [_component(f"Images: {name}", getattr(found, name)) for name in counts]
        if found.risk is not None:
            components.append(_component("Highest risk of an image", found.risk))
        return {
            **self._observation("system", "Finding of the system, all images (not a diagnosis)"),
            **self._made_by([model.bundle for model in self.content.models]),
            **({"valueString": found.decision} if found.decision else _ABSENT),
            "note": [{"text": self.content.disclaimer}],
            "component": components,
        }

    def _finding(self, found: Picture) -> Resource:
        components = [_component("Decision", found.decision)] if found.decision else []
        if found.probability is not None:
            calibrated = any(m.calibrated for m in self.content.models if m.bundle == found.bundle)
            name = "Calibrated probability" if calibrated else "Probability, not calibrated"
            components.append(_component(name, found.probability))
        if found.level is not None:
            components.append(
                _component(f"Classes at {100 * found.level:g} %", ", ".join(found.inside) or "none")
            )
        components += [_component("Reason to refer", reason) for reason in found.reasons]
        notes = [self.content.disclaimer, found.problem]
        return {
            **self._observation(
                ("finding", found.image), "Finding of the system, one image (not a diagnosis)"
            ),
            **self._made_by([found.bundle]),
            **({"valueString": found.label} if found.label else _ABSENT),
            "identifier": [{"type": {"text": "SHA-256 of the image"}, "value": found.sha256}],
            "note": [{"text": note} for note in notes if note],
            "component": components,
        }

    def _made_by(self, bundles: list[str]) -> Resource:
        """Name the device; of several none is, as FHIR has a place for one: they are in notes."""
        if len(bundles) != 1 or not bundles[0]:
            return {}
        return {"device": self._ref("device", bundles[0])}

    def _observation(self, name: Any, text: str) -> Resource:
        names = name if isinstance(name, tuple) else (name,)
        return {
            "resourceType": "Observation",
            "id": str(self._uuid(*names)),
            "status": self.status,
            "category": [_coded(f"{_TERMS}/observation-category", "laboratory", "Laboratory")],
            "code": {"text": text},
            "subject": self._ref("patient"),
            "specimen": self._ref("specimen"),
        }

    def _provenance(self) -> Resource:
        content = self.content
        kind = "author" if not content.signed else "legal"
        title = {"author": "Author", "legal": "Legal Authenticator"}[kind]
        entities = [_entity("source", content.sha256, "content of this version")]
        if content.before:
            entities.append(_entity("revision", content.before, "content of the version before"))
        return {
            "resourceType": "Provenance",
            "id": str(self._uuid("provenance", content.version)),
            "target": [self._ref("report", content.version)],
            "recorded": self.at,
            "activity": {"text": "signed with the password" if content.signed else "drafted"},
            "agent": [
                {
                    "type": _coded(f"{_TERMS}/provenance-participant-type", kind, title),
                    "who": self._ref("doctor", display=content.doctor.name),
                    "onBehalfOf": self._ref("laboratory"),
                }
            ],
            "entity": entities,
        }


_ABSENT: Resource = {"dataAbsentReason": {"text": "the system found nothing to say"}}


def _entity(role: str, sha256: str, text: str) -> Resource:
    identifier = {"system": "urn:ietf:rfc:3986", "value": hash_uri(sha256)}
    return {
        "role": role,
        "what": {"identifier": identifier, "display": f"SHA-256 {sha256}: {text}"},
    }


def _coded(system: str, code: str, display: str) -> Resource:
    return {"coding": [{"system": system, "code": code, "display": display}]} if code else {}


def _component(name: str, value: str | bool | int | float) -> Resource:
    if isinstance(value, bool):
        return {"code": {"text": name}, "valueBoolean": value}
    if isinstance(value, int):
        return {"code": {"text": name}, "valueInteger": value}
    if isinstance(value, float):
        return {"code": {"text": name}, "valueQuantity": {"value": value}}
    return {"code": {"text": name}, "valueString": value}
