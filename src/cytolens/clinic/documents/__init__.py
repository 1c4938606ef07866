"""Documents of a case: what a report says, as PDF/A, as FHIR and as DICOM."""
