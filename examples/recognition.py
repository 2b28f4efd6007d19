"""Speech to text from scratch: strings of digits by synthetic voices and by a person; judged on orders and voices not heard before.

    python examples/recognition.py
"""

from real_data import digit_strings

from fastgpu import Learner

data = digit_strings.folder()
learn = Learner("parakeet_ctc/tiny", data, sampling_rate=8000, batch_size=8, augment=True, clip=1.0)
learn.fit_one_cycle(8, lr_max=2e-3)

recorded = learn.evaluate()
voices = learn.evaluate(data / "voices.jsonl")
print(f"recorded words in new orders: character error rate {recorded['cer']:.3f}, word error rate {recorded['wer']:.3f}")
print(f"voices never heard: character error rate {voices['cer']:.3f}, word error rate {voices['wer']:.3f}")
print(learn.predict(data / "wavs" / "val-000.wav").texts)
