"""Segmentation: nuclei under the microscope, trained on one side of a real picture and judged on the other.

    python examples/segmentation.py

About three minutes on one core of a CPU. The data are fetched once, see real_data/nuclei.py.
"""

from real_data import nuclei

from fastgpu import Learner

if __name__ == "__main__":
    learn = Learner("unet/resnet18", nuclei.folder(), metrics=["iou", "class_iou", "dice"], lr=2e-3, augment=True, batch_size=16)
    learn.fit_one_cycle(5)

    judged = learn.evaluate()
    print(f"mean IoU {judged['iou']:.3f}, of the nuclei {judged['iou_foreground']:.3f}, Dice {judged['dice']:.3f}")

    results = learn.predict(nuclei.folder() / "images" / "val")
    print(results[0]["mask"].shape, f"{(results[0]['mask'] == 1).mean():.0%} of the first tile is nuclei")
    results.save("nuclei.png")  # nuclei-0.png, ...: a mask each, in colours
    learn.show_results().savefig("nuclei_results.png")
