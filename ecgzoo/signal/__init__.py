"""What a signal is: leads by name, millivolts, a rate, and how recordings are read into that."""

from ecgzoo.signal.leads import LEAD_SETS, LEADS_12, canonical_lead, known_lead, resolve_leads
from ecgzoo.signal.read import read_record
from ecgzoo.signal.record import Record

__all__ = ["LEADS_12", "LEAD_SETS", "Record", "canonical_lead", "known_lead", "read_record", "resolve_leads"]
