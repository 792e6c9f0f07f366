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
        "Weights: Apache-2.0. Recordings that they were trained on: CC-BY-4.0.",
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
    with pytest.raises(WeightsError, match="make no card"):
        ecgzoo.save_pretrained(model, folder)
    assert ecgzoo.load_pretrained(folder).config.metrics["data"] == "some data"


def test_a_card_of_random_weights_is_short() -> None:
    from ecgzoo.weights.card import render_card

    card = render_card(ecgzoo.create_student("xresnet1d18").config, "folder")
    assert "Measured" not in card
    assert "medical device" in card
