"""The three lines: a ResNet on the built-in digits.

    python examples/three_lines.py
"""

from fastgpu import Learner

learn = Learner("resnet18", "digits")
learn.fit(5)
print(learn.evaluate())
