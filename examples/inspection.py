"""Inspection: learn what good brick and gravel look like, and find scratches, spots and places out of focus.

    python examples/inspection.py

One to three minutes on a CPU. The data are made from real photographs, see real_data/defects.py; the network sees no defect
before it is judged, and its backbone has random weights (pretrained="auto" takes trained ones where they can be had).
"""

from real_data import defects

from fastgpu import Learner

if __name__ == "__main__":
    for texture in defects.TEXTURES:
        data = defects.folder() / texture  # train/good, test/good, test/scratch, ..., ground_truth/scratch, ...
        learn = Learner("patchcore/resnet18", data, metrics=["auroc", "pixel_auroc", "recall", "precision", "threshold"])
        learn.fit(2)

        judged = learn.evaluate("test")
        print(f"{texture}: image AUROC {judged['auroc']:.3f}, pixel AUROC {judged['pixel_auroc']:.3f}")
        print(f"  at the threshold found {judged['recall']:.0%} of the defects, {judged['precision']:.0%} of the alarms right")

        results = learn.predict(data / "test" / "spot")
        print(f"  first spot: score {results[0]['score']:.1f}, anomalous {results[0]['anomalous']}, map {results[0]['map'].shape}")
        results.plot().savefig(f"{texture}_spots.png")
