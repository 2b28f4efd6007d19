"""Sensor series, real ones: which of four activities a watch was worn for, and which half of the year a day's demand is of.

    python examples/sensors.py    # half a minute on a CPU
"""

from real_data import motions

from fastgpu import Learner

for name in ("BasicMotions", "ItalyPowerDemand"):
    # All of the published train split is learnt from; its test split is judged once, at the end.
    learn = Learner("inception_time/small", motions.folder() / name, validation_split=None)
    learn.fit_one_cycle(25)
    judged = learn.evaluate("test")
    print(f"{name}: accuracy {judged['accuracy']:.4f} on the {learn.data.sizes['test']:,} test series of the archive")
