"""Your own pictures from several sensors: train a fusion, and read whom it trusts on new ones.

A table says which files make up a sample. Here two cameras see a bright square, and its mask is to
be told; in training either is dark at times. Of the new samples the left camera shows nothing.
"""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from assay import Records, Study, Workflow, component, sweep
from assay.systems.product_of_experts.image_predict import predict_on_manifest
from assay.systems.product_of_experts.image_samples import own_samples
from assay.systems.product_of_experts.image_training import train_on_manifest
from assay.systems.product_of_experts.manifest import Entry, write_manifest


def draw(folder, splits):
    """Write pictures [channel height width], masks of class numbers, and the table."""
    folder.mkdir(exist_ok=True)
    rng, entries = np.random.default_rng(0), []
    for split, count, light in splits:
        for n in range(count):
            mask, (y, x) = np.zeros((16, 16), np.uint8), rng.integers(0, 9, 2)
            mask[y : y + 8, x : x + 8] = 1
            name, files = f"{split}{n}", {}
            for camera, gain in (("left", light), ("right", 1)):
                files[camera] = folder / f"{name}-{camera}.npy"
                seen = gain * (mask + 0.1 * rng.standard_normal(mask.shape))
                np.save(files[camera], seen[None].astype(np.float32))
            cv2.imwrite(str(folder / f"{name}.png"), mask)
            entries.append(Entry(name, split, name, files, folder / f"{name}.png"))
    write_manifest(folder, entries)


@component
def trust(predictions: Path) -> Records:
    """What each camera contributes, by the table of the predictions."""
    records = Records()
    for row in pd.read_csv(predictions / "predictions.csv").to_dict("records"):
        for camera in ("left", "right"):
            records.add("share", row[f"share_{camera}"], item=row["id"], camera=camera)
    return records


flow = Workflow("cameras")
mine = flow.step("mine", own_samples, path="cameras")
how = {"corruptions": {"left": ["dropout"], "right": ["dropout"]}, "largest_severity": 1.0}
how |= {"steps": 150, "batch": 32, "width": 8, "rate": 0.01, "beta": 0.001, "spatial": True}
fit = flow.step("fit", train_on_manifest, samples=mine, **how)
told = flow.step("told", predict_on_manifest, samples=mine, model=fit.model)
flow.step("trust", trust, predictions=told)

if __name__ == "__main__":
    draw(Path("cameras"), [("train", 100, 1), ("test", 20, 0)])
    study = Study(flow, decisions={"weighting": sweep("fit.weighting", ["learned", "poe"])})
    shares = study.run(workers=0).records.dropna(subset="camera")
    print(shares.groupby(["weighting", "camera"])["value"].mean().round(2).to_string())
