"""The card says what the config says, in the metadata that the Hub reads too."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import ecgzoo
from ecgzoo.errors import WeightsError
from ecgzoo.evaluation import decision_points, evaluate_scores
from ecgzoo.model import EcgModel

LABELS = ("AF", "SR")
AT = {"f1": (0.91, 0.92), "screening": (0.93, 0.94)}


@pytest.fixture
def model() -> EcgModel:
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, (300, 2))
    scores = np.clip(0.6 * truth + random.uniform(0, 0.4, truth.shape), 0, 1)
    thresholds = {label: decision_points(truth[:, n], scores[:, n]) for n, label in enumerate(LABELS)}
    model = ecgzoo.create_student("xresnet1d18", num_classes=2)
    model.config = dataclasses.replace(
        model.config,
        classes=LABELS,
        class_info={"AF": {"name": "atrial fibrillation", "scp": ["AFIB"], "snomed": "49436004"}},
        task="rhythm",
        temperature=1.25,
        thresholds=thresholds,
        calibrated_on="some data, folds 9",
        metrics={
            "data": "some data",
            "folds": [9],
            "chosen_on_these_folds": True,
            **evaluate_scores(truth, scores, LABELS, subgroups={"female": np.arange(300) < 100}).to_dict(),
        },
        training={"data": "some data", "data_license": "CC-BY-4.0", "simulated": True, "recipe": {"epochs": 3}},
    )
    return model


def test_the_card_shows_the_config(model: EcgModel, tmp_path: Path) -> None:
    folder = ecgzoo.save_pretrained(model, tmp_path / "model")
    card = (folder / "README.md").read_text(encoding="utf-8")
    metrics = model.config.metrics
    for part in (
        "Research use only, not a medical device",
        "simulated",
        "| AF | atrial fibrillation | AFIB | 49436004 |",
        f"Macro AUC **{metrics['macro_auc']:.4f}**",
        "were chosen on these same records",
        "| female | 100 |",
        "temperature 1.2500",
        "![Predicted against observed frequency](calibration.png)",
        '{"epochs": 3}',
        "Weights: Apache-2.0. Training recordings: CC-BY-4.0.",
    ):
        assert part in card
    assert (folder / "calibration.png").read_bytes().startswith(b"\x89PNG")
    assert ecgzoo.load_pretrained(folder).config == model.config


def test_the_hub_can_read_its_metadata(model: EcgModel, tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    folder = ecgzoo.save_pretrained(model, tmp_path / "model")
    data = ModelCard.load(folder / "README.md").data
    assert (data.library_name, data.license) == ("ecgzoo", "apache-2.0")
    assert "single-lead" in data.tags
    (result,) = data.eval_results
    assert result.metric_type == "roc_auc"
    assert result.metric_value == round(model.config.metrics["macro_auc"], 4)


def test_a_config_that_makes_no_card_leaves_the_folder_as_it_was(model: EcgModel, tmp_path: Path) -> None:
    folder = ecgzoo.save_pretrained(model, tmp_path / "model")
    model.config = dataclasses.replace(model.config, metrics={"auc": 0.9})
    with pytest.raises(WeightsError, match="no card or calibration plot"):
        ecgzoo.save_pretrained(model, folder)
    assert ecgzoo.load_pretrained(folder).config.metrics["data"] == "some data"


def test_a_card_of_random_weights_is_short() -> None:
    from ecgzoo.weights.card import render_card

    card = render_card(ecgzoo.create_student("xresnet1d18").config, "folder")
    assert "Measured" not in card
    assert "medical device" in card


def test_each_figure_stands_in_its_own_column(model: EcgModel) -> None:
    from ecgzoo.weights.card import render_card

    points = {name: dict(zip(("sensitivity", "specificity"), pair, strict=True)) for name, pair in AT.items()}
    metrics = {
        **model.config.metrics,
        "folds": [9, 10],
        "records": 297,
        "positives": {"AF": 41, "SR": 43},
        "per_class": {"AF": 0.61, "SR": None},
        "per_class_ci": {"AF": [0.55, 0.65], "SR": None},
        "at_thresholds": {"AF": points},
        "macro_auc": 0.62,
        "ci": [0.51, 0.73],
        "macro_average_precision": 0.31,
        "fmax": 0.32,
        "brier": 0.33,
        "ece": 0.34,
        "subgroups": {
            "female": {"records": 101, "macro_auc": 0.63, "ci": [0.52, 0.74]},
            "male": {"records": 90, "classes": 0, "macro_auc": 0.64, "ci": [0.53, 0.75]},
        },
    }
    thresholds = {"AF": {"f1": 0.4, "screening": 0.2, "lower": 0.1, "upper": 0.5}}
    config = dataclasses.replace(model.config, metrics=metrics, thresholds=thresholds)
    lines = render_card(config, "folder").splitlines()
    for line in (
        "| AF | atrial fibrillation | AFIB | 49436004 | 0.400 | 0.200 | 0.100 | 0.500 |",
        "| SR | — | — | — | — | — | — | — |",
        "| AF | 41 | 0.6100 | 0.550 to 0.650 | 0.910 | 0.920 | 0.930 | 0.940 |",
        "| SR | 43 | — | — | — | — | — | — |",
        "| female | 101 | 0.6300 | 0.5200 to 0.7400 |",
        "| male | 90 (0 of 1 classes) | 0.6400 | 0.5300 to 0.7500 |",
        "Macro average precision 0.3100, Fmax 0.3200, Brier score 0.3300, calibration error 0.3400.",
    ):
        assert line in lines
    assert any(
        "Macro AUC **0.6200** (95 % interval 0.5100 to 0.7300, bootstrap over patients) on 297 records of some data, "
        "folds 9, 10. The epoch, the temperature" in line
        for line in lines
    )
    (columns,) = (line for line in lines if line.startswith("| label | positives"))
    assert [name.strip() for name in columns.strip("|").split("|")][3:] == [
        "95 % interval",
        *(f"{what} ({point})" for point in ("flag", "screening") for what in ("sensitivity", "specificity")),
    ]
    assert "# xresnet1d18 on lead I" in lines
    assert "- windows of 2.5 s every 1.25 s, aggregated by mean" in lines


def test_figures_of_other_records_and_no_reliability_are_not_said_otherwise(model: EcgModel) -> None:
    from ecgzoo.weights.card import render_card

    metrics = {**model.config.metrics, "chosen_on_these_folds": False, "simulated": True, "reliability": []}
    training = {**model.config.training, "simulated": False}
    config = dataclasses.replace(model.config, metrics=metrics, training=training, thresholds={}, calibrated_on=None)
    card = render_card(config, "folder")
    assert "same records" not in card
    assert "of some data (simulated), fold 9." in card
    assert "![" not in card
    assert "without any recording of a patient" not in card
    assert "No thresholds were chosen." in card
    measured = dataclasses.replace(config, metrics={**metrics, "simulated": False})
    assert "(simulated)" not in render_card(measured, "folder")


def test_the_card_says_how_the_signal_is_normalized(model: EcgModel) -> None:
    from ecgzoo.config import Normalization
    from ecgzoo.weights.card import render_card

    for normalization, said in (
        (Normalization(mean_mv=0.0125, std_mv=0.25), "by one mean (0.01250 mV) and deviation (0.25000 mV)"),
        (Normalization(kind="window_z"), "by the mean and deviation of each window"),
    ):
        card = render_card(dataclasses.replace(model.config, normalization=normalization), "folder")
        assert f"lead I in millivolts at 100 Hz, normalized in the network {said}" in card
