"""Signals: leads by name, samples in millivolts, a sampling rate."""

from ecgzoo.signal.leads import LEAD_SETS, LEADS_12, canonical_lead, known_lead, resolve_leads
from ecgzoo.signal.record import Record

__all__ = ["LEADS_12", "LEAD_SETS", "Record", "canonical_lead", "known_lead", "resolve_leads"]
