import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgzoo.errors import SignalError
from ecgzoo.signal import LEAD_SETS, LEADS_12, canonical_lead, known_lead, resolve_leads
from ecgzoo.signal.leads import channel_to_rename


@given(lead=st.sampled_from(LEADS_12), data=st.data())
def test_canonical_lead_is_blind_to_case_and_prefix(lead, data):
    upper = data.draw(st.lists(st.booleans(), min_size=len(lead), max_size=len(lead)))
    spelling = "".join(letter.upper() if up else letter.lower() for letter, up in zip(lead, upper, strict=True))
    prefix = data.draw(st.sampled_from(["", "Lead ", "LEAD_", "ECG ", "ecg_", "ECG lead ", "MDC_ECG_LEAD_", " "]))
    assert canonical_lead(prefix + spelling) == lead


@pytest.mark.parametrize(("name", "lead"), [("MLII", "II"), ("mliii", "III"), ("MLI", "I"), ("MV2", "V2")])
def test_modified_leads(name, lead):
    assert canonical_lead(name) == lead


@pytest.mark.parametrize("name", ["", "V7", "-aVR", "ECG", "V", "vx", "PLETH", "RESP", "1", "mV1", " mV 2", "mV_3"])
def test_other_channels_are_no_lead(name):
    assert known_lead(name) is None
    with pytest.raises(SignalError, match="Unknown lead"):
        canonical_lead(name)


def test_unknown_lead_names_close_ones():
    with pytest.raises(SignalError, match="aVR"):
        canonical_lead("aVx")


def test_lead_sets():
    assert {count: len(names) for count, names in LEAD_SETS.items()} == {n: n for n in (1, 2, 3, 4, 6, 8, 12)}
    assert LEAD_SETS[3] == ("I", "II", "V2")
    assert LEAD_SETS[4] == ("I", "II", "III", "V2")
    assert LEAD_SETS[6] == LEADS_12[:6]
    assert set(LEAD_SETS[8]) == set(LEADS_12) - {"III", "aVR", "aVL", "aVF"}


@pytest.mark.parametrize(
    ("leads", "names"),
    [(2, ("I", "II")), ("2", ("I", "II")), ("ii, avr", ("II", "aVR")), (["V5", "MLII"], ("V5", "II")), ("I", ("I",))],
)
def test_resolve_leads(leads, names):
    assert resolve_leads(leads) == names


@pytest.mark.parametrize(
    ("leads", "message"),
    [(5, "by name"), (0, "by name"), ("I,i", "twice"), (["II", "MLII"], "twice"), ([], "none"), ("I,,II", "Unknown")],
)
def test_resolve_leads_refuses(leads, message):
    with pytest.raises(SignalError, match=message):
        resolve_leads(leads)


@pytest.mark.parametrize("leads", [(1,), ("I", None), 2.0, None, {"I", "II"}, object()])
def test_what_is_no_name_and_no_number_is_refused(leads):
    with pytest.raises(SignalError, match="Expected lead names or their number"):
        resolve_leads(leads)


@pytest.mark.parametrize(
    ("names", "proposed"), [(("squarewave", "my ECG"), "my ECG"), (("Resp", "PPG"), "Resp"), (("II", "V1"), None)]
)
def test_the_channel_called_ecg_is_proposed(names: tuple[str, ...], proposed: str | None) -> None:
    assert channel_to_rename(names) == proposed
