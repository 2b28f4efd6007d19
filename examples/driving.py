"""Driving: vehicles found, and every pixel of the road classed, in episodes that were not seen in training.

    python examples/driving.py

Five to ten minutes on a CPU. Needs highway-env; the frames are drawn once, see real_data/driving.py.
"""

from real_data import driving

from fastgpu import Learner

if __name__ == "__main__":
    frames = driving.folder()
    boxes = Learner("fcos/resnet10t", frames, task="detection", augment=True, decode_every=4)
    boxes.fit_one_cycle(8, lr_max=3e-3)
    print(f"unseen episodes: mAP {boxes.evaluate()['map']:.3f}, mAP50 {boxes.evaluate()['map_50']:.3f}")

    # Frames of a drive come out as a film with the boxes on it; an .mp4 can be read and written as well.
    drive = sorted((frames / "images" / "val").glob("roundabout-8-*.png"))
    results = boxes.predict(drive)
    results.save("drive.gif")
    print(f"{len(results)} frames, {results.speed:.0f} a second")

    masks = Learner("unet/mobilenetv3_small_050", frames, task="segmentation", augment=True, lr=3e-3)
    masks.fit_one_cycle(8, lr_max=3e-3)
    print(f"unseen episodes: mean IoU {masks.evaluate()['iou']:.3f}")
