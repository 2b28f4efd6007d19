"""Detection: handwritten digits on photographs; neither the digits nor the photographs of the test were seen in training.

    python examples/detection.py

About ten minutes on a CPU. The data are made once, see real_data/digit_scenes.py.
"""

from real_data import digit_scenes

from fastgpu import Learner

if __name__ == "__main__":
    learn = Learner("fcos/resnet10t", digit_scenes.folder(), batch_size=8, validation_split=0.1, decode_every=6)
    learn.fit_one_cycle(12, lr_max=2e-3)

    judged = learn.evaluate("test")
    print(f"test: mAP {judged['map']:.3f}, mAP50 {judged['map_50']:.3f}")

    results = learn.predict(digit_scenes.folder() / "images" / "test")
    print(results[0]["boxes"]["labels"], results[0]["boxes"]["boxes"].round())
    results.plot().savefig("digit_scenes.png")
