"""Sentiment: a small BERT learns from random weights, on real sentences of film reviews, which are good and which are bad.

    python examples/sentiment.py    # about a minute and a half on a CPU
"""

from real_data import movie_reviews

from fastgpu import Learner

learn = Learner("bert/tiny", movie_reviews.folder() / "reviews.csv", batch_size=32, lr=5e-4)
learn.fit(4, schedule="one_cycle")

print(learn.predict(["A gorgeous, moving film.", "Dull, and far too long."]).to_frame())
print(f"on 1,500 sentences never seen: accuracy {learn.evaluate('test')['accuracy']:.3f}")
