"""The doctor's desk: patients, cases, worklist, case view, readings."""
