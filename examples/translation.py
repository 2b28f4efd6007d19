"""Translation: a small Transformer learns from random weights to translate the messages of a compiler into German.

    python examples/translation.py    # about 20 minutes on a CPU
"""

from real_data import gcc_messages

from fastgpu import Learner

learn = Learner(
    "marian/tiny", gcc_messages.folder() / "gcc-12.mo", validation_split=0.04, batch_size=16, lr=1.5e-3, decode_every=12
)
learn.fit(12, schedule="one_cycle")  # sentences are generated after the last epoch alone: no epoch is chosen by them

print(learn.predict(["unused variable %qD", "the value of the argument is not used"]).to_frame())
judged = learn.evaluate()
print(f"on {learn.data.sizes['val']} messages never seen: BLEU {100 * judged['bleu']:.1f}, chrF {100 * judged['chrf']:.1f}")
