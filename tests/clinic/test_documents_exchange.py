"""FHIR and DICOM: checked against their definitions, read back, the same again."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import json
from typing import Any

import numpy as np
import pydicom
import pytest
from fhir.resources.bundle import Bundle
from tests.clinic.report_samples import NASTY, sample

from cytolens.clinic.documents.content import Model, Person, ReportContent
from cytolens.clinic.documents.dicom import dicom
from cytolens.clinic.documents.fhir import fhir
from cytolens.clinic.documents.fhir_words import LOINC, SECTIONS
from cytolens.clinic.documents.identifiers import case_uid, case_uuid, hash_uri
from cytolens.clinic.documents.pictures import decode, laid_over
from cytolens.clinic.vocabulary import vocabularies


def _of(bundle: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    entries = [entry["resource"] for entry in bundle["entry"]]
    return [one for one in entries if one["resourceType"] == kind]


@pytest.mark.parametrize("status", ["preliminary", "final", "amended"])
def test_fhir_is_valid_and_whole(status: str) -> None:
    content, _ = sample(status)
    made = json.loads(json.dumps(fhir(content, b"%PDF-1.7")))
    Bundle.model_validate(made)
    (report,) = _of(made, "DiagnosticReport")
    assert report["status"] == status
    assert report["code"]["coding"][0]["code"] == "47527-7"
    assert report["conclusionCode"][0]["coding"][0]["code"] == "HSIL"
    form = report["presentedForm"][0]
    assert base64.b64decode(form["data"]) == b"%PDF-1.7"
    assert base64.b64decode(form["hash"]) == hashlib.sha1(b"%PDF-1.7").digest()
    urls = {entry["fullUrl"] for entry in made["entry"]}
    assert len(urls) == len(made["entry"])
    references = _references(made)
    assert references and references <= urls
    assert {f"urn:uuid:{one['id']}" for one in _all(made)} == urls


def _all(bundle: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry["resource"] for entry in bundle["entry"]]


def _references(value: Any) -> set[str]:
    if isinstance(value, list):
        return {found for one in value for found in _references(one)}
    if isinstance(value, dict):
        own = {value["reference"]} if isinstance(value.get("reference"), str) else set()
        return own | _references(list(value.values()))
    return set()


def test_findings_of_the_system_are_no_results() -> None:
    content, _ = sample()
    made = fhir(content)
    (report,) = _of(made, "DiagnosticReport")
    observations = {f"urn:uuid:{one['id']}": one for one in _of(made, "Observation")}
    (result,) = report["result"]
    assert observations[result["reference"]]["code"]["text"] == "Category of the doctor"
    assert "device" not in observations[result["reference"]]
    (device,) = _of(made, "Device")
    assert device["identifier"][0]["value"] == "0123456789ab"
    shown = [one["reference"]["reference"] for one in report["supportingInfo"]]
    assert len(shown) == 1 + len(content.pictures)
    for one in shown:
        assert observations[one]["device"]["reference"] == f"urn:uuid:{device['id']}"
        assert observations[one]["note"][0]["text"] == content.disclaimer
        assert "not a diagnosis" in observations[one]["code"]["text"]


def test_provenance_holds_who_signed_what() -> None:
    content, _ = sample("amended")
    made = fhir(content)
    (found,) = _of(made, "Provenance")
    (doctor,) = _of(made, "Practitioner")
    assert found["agent"][0]["who"]["reference"] == f"urn:uuid:{doctor['id']}"
    assert found["agent"][0]["type"]["coding"][0]["code"] == "legal"
    assert found["recorded"] == "2026-11-21T09:30:00+00:00"
    uris = [one["what"]["identifier"]["value"] for one in found["entity"]]
    assert uris == [hash_uri(content.sha256), hash_uri("b" * 64)]
    draft, _ = sample("preliminary")
    (found,) = _of(fhir(draft), "Provenance")
    assert found["agent"][0]["type"]["coding"][0]["code"] == "author"


def test_a_hash_is_the_uri_of_rfc_6920() -> None:
    sha256 = hashlib.sha256(b"Hello World!").hexdigest()
    assert hash_uri(sha256) == "ni:///sha-256;f4OxZX_x_FO5LcGBSKHWXfwtSx-j1ncoSt3SABJtkGk"


def test_codes_are_those_of_specimens_that_exist() -> None:
    assert set(LOINC) < set(vocabularies())
    assert set(SECTIONS) == set(vocabularies())
    content, _ = sample()
    kind = dataclasses.replace(content.specimen.kind, code="bone-marrow")
    other = dataclasses.replace(content, specimen=dataclasses.replace(content.specimen, kind=kind))
    (report,) = _of(fhir(other), "DiagnosticReport")
    assert "coding" not in report["code"]
    assert report["category"][0]["coding"][0]["code"] == "HM"


@pytest.mark.parametrize("text", ["", " ", NASTY, f"\x07 {NASTY}", "a" * 5000])
def test_fhir_takes_any_text(text: str) -> None:
    content, _ = sample()
    content = dataclasses.replace(
        content,
        patient=Person(text, text, text),
        diagnosis=dataclasses.replace(content.diagnosis, comment=text),
        pictures=(),
        models=(),
        reason=text,
    )
    made = fhir(content)
    if text == NASTY:
        (patient,) = _of(made, "Patient")
        assert patient["name"][0]["family"] == NASTY


def test_several_bundles_are_devices_and_none_is_the_one() -> None:
    content, _ = sample()
    other = Model("ba9876543210", "another", "2.0.0")
    made = fhir(dataclasses.replace(content, models=(*content.models, other)))
    assert len(_of(made, "Device")) == 2
    case = [one for one in _of(made, "Observation") if "all images" in one["code"]["text"]]
    assert "device" not in case[0]


def _dicom(content: ReportContent, pictures: dict[str, bytes], over: bool = True) -> Any:
    picture = content.pictures[0]
    assert picture.overlay is not None
    overlay = pictures[picture.overlay.sha256] if over else None
    made = dicom(content, picture, pictures[picture.sha256], overlay)
    assert made == dicom(content, picture, pictures[picture.sha256], overlay)
    return pydicom.dcmread(io.BytesIO(made))


def test_dicom_is_read_back() -> None:
    content, pictures = sample()
    picture = content.pictures[0]
    assert picture.overlay is not None
    image, over = _dicom(content, pictures, over=False), _dicom(content, pictures)
    pixels = decode(pictures[picture.sha256])
    np.testing.assert_array_equal(image.pixel_array, pixels)
    burnt = laid_over(pixels, pictures[picture.overlay.sha256], picture.overlay)
    np.testing.assert_array_equal(over.pixel_array, burnt)
    assert not np.array_equal(over.pixel_array, pixels)
    for one in (image, over):
        assert one.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7"  # Secondary Capture Image Storage
        assert one.PatientName == "Núñez^María José"
        assert (one.PatientID, one.PatientBirthDate, one.PatientSex) == ("P-1", "19800203", "F")
        assert one.AccessionNumber == "ONE-0001"
        assert one.BurnedInAnnotation == "NO"
        assert one.SpecificCharacterSet == "ISO_IR 192"
        assert content.sha256 in one.DerivationDescription
        assert one.ContentDate == "20261121"
    assert "grad_cam" in over.DerivationDescription
    assert "0123456789ab" in over.DerivationDescription
    assert "not a diagnosis" in over.DerivationDescription
    assert "grad_cam" not in image.DerivationDescription


def test_identifiers_of_a_case_belong_together() -> None:
    content, pictures = sample()
    image, over = _dicom(content, pictures, over=False), _dicom(content, pictures)
    amended, _ = sample("amended")
    later = _dicom(amended, pictures)
    assert image.StudyInstanceUID == over.StudyInstanceUID == later.StudyInstanceUID
    assert image.SeriesInstanceUID == over.SeriesInstanceUID != later.SeriesInstanceUID
    assert len({one.SOPInstanceUID for one in (image, over, later)}) == 3
    for one in (image, over, later):
        uid = str(one.StudyInstanceUID)
        assert uid.startswith("2.25.") and len(uid) <= 64


def test_other_cases_have_other_identifiers() -> None:
    content, _ = sample()
    specimen = content.specimen
    opened = dataclasses.replace(specimen, opened_at="2026-11-20T10:01:02.123457+00:00")
    other = dataclasses.replace(content, specimen=opened)
    assert case_uid(content, "study") != case_uid(other, "study")
    assert case_uid(content, "study") != case_uid(content, "series")
    assert case_uid(content, "a", "b") != case_uid(content, "ab")
    found = case_uuid(content)
    assert (found.version, found.variant) == (5, "specified in RFC 4122")


def test_dicom_takes_any_text() -> None:
    content, pictures = sample()
    long = dataclasses.replace(
        content,
        patient=Person(NASTY * 2, NASTY * 3, "", "", "unknown"),
        specimen=dataclasses.replace(content.specimen, accession="A\\B" * 20),
        laboratory=dataclasses.replace(content.laboratory, name=NASTY),
    )
    found = _dicom(long, pictures)
    assert str(found.PatientName).count("^") == 1
    assert found.AccessionNumber in ("", None)  # too long: cut it would be another number
    assert found.ContainerIdentifier == ("A/B" * 20)[:64]
