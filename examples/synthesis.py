"""Text to speech from scratch on twelve minutes of one voice; the spectrogram is judged on texts not read before.

    python examples/synthesis.py
"""

from real_data import asterisk

from fastgpu import Learner

learn = Learner("fastspeech2/tiny", asterisk.folder(), task="synthesis", sampling_rate=8000, batch_size=16)
learn.fit_one_cycle(12, lr_max=2e-3)

unread = learn.data.split("val")
spectrogram = unread.head(len(unread))["y"]["spectrogram"]
baseline = spectrogram[spectrogram != -100].abs().mean()  # the mean frame is 0: bands are standardised
print(f"mel L1 {learn.evaluate()['mel_l1']:.3f}, of the mean frame {baseline:.3f}")
print(learn.predict("your call is important to us").save("spoken.wav"))
