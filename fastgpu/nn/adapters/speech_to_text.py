"""The adapters of transformers' networks that hear: CTC, and encoder with decoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastgpu.nn.adapters.base import ADAPTERS, Adapter, of_library
from fastgpu.nn.adapters.writing import Writer

__all__ = ["SpeechCTC", "SpeechSeq2Seq"]

BLANK = 0
"""Number of CTC's blank, which also fills up labels."""


@ADAPTERS.register("ctc")
class SpeechCTC(Adapter):
    """Connectionist temporal classification: `logits` `(b, steps, outputs)`, the blank first, and `steps` `(b,)` that are sound.

    Networks that take frames are given `input_features`, those that take waves `input_values`. The loss is that of CTC from
    `y["labels"]` `(b, longest)` int64, filled up with blanks, a mean over characters, in single precision; the library's own
    takes what fills up for characters, or not, from version to version.
    """

    @classmethod
    def suits(cls, net: nn.Module) -> bool:
        return type(net).__name__.endswith("ForCTC") and of_library(net, "transformers")

    def forward(self, x: Mapping[str, Any], y: Mapping[str, Any] | None = None) -> dict[str, Any]:
        net: Any = self.net
        sound = x["input_features"] if "input_features" in x else x["input_values"]
        logits = net(sound, attention_mask=x["attention_mask"]).logits
        # Rows that are filled up get logits over their padding too.
        shrunk = getattr(net, "_get_subsampling_output_length", None) or net._get_feat_extract_output_lengths
        steps = shrunk(x["attention_mask"].sum(1)).long()
        found = {"logits": logits, "steps": steps}
        return found if y is None else {**found, "loss": _ctc_loss(logits, steps, y["labels"])}


def _ctc_loss(logits: Tensor, steps: Tensor, labels: Tensor) -> Tensor:
    likelihoods = logits.float().log_softmax(-1).transpose(0, 1)
    return F.ctc_loss(likelihoods, labels, steps, (labels != BLANK).sum(1), blank=BLANK, zero_infinity=True)


@ADAPTERS.register("whisper")
class SpeechSeq2Seq(Writer):
    """An encoder of frames of a fixed number with a decoder, as Whisper: `logits` `(b, tokens, outputs)`.

    Frames `(b, t, mels)` are filled up, or cut, to the number that the encoder has positions for. The loss is the library's,
    from `y["labels"]`; without `y` the logits are those of the first token, and `generate` gives sentences.
    """

    @classmethod
    def suits(cls, net: nn.Module) -> bool:
        return of_library(net, "transformers.models.whisper")

    def forward(self, x: Mapping[str, Any], y: Mapping[str, Any] | None = None) -> dict[str, Any]:
        net: Any = self.net
        frames = self._frames(x)
        if y is None:
            first = torch.full((len(frames), 1), net.config.decoder_start_token_id, device=frames.device)
            return {"logits": net(frames, decoder_input_ids=first, use_cache=False).logits}
        out = net(frames, labels=self._ended(y["labels"]), use_cache=False)
        return {"logits": out.logits, "loss": out.loss}

    def settings(self, most: int) -> Any:
        """Greedily: the numbers that a checkpoint's own settings suppress or force are of another vocabulary."""
        from transformers import GenerationConfig

        known: Any = self.net.config
        return GenerationConfig(
            max_new_tokens=min(most, known.max_target_positions - 1),
            decoder_start_token_id=known.decoder_start_token_id,
            eos_token_id=known.eos_token_id,
            pad_token_id=known.pad_token_id,
        )

    def generate(self, x: Mapping[str, Any], *, most: int) -> Tensor:
        from transformers import GenerationMixin

        with torch.no_grad():
            # Not Whisper's own generate, which looks for prompts of languages and times.
            generate = vars(GenerationMixin)["generate"]
            tokens: Any = generate(self.net, inputs=self._frames(x), generation_config=self.settings(most))
        return tokens[:, 1:]

    def encoded(self, x: Mapping[str, Any]) -> dict[str, Tensor]:
        net: Any = self.net
        return {"hidden": net.get_encoder()(self._frames(x)).last_hidden_state}

    def _frames(self, x: Mapping[str, Any]) -> Tensor:
        mel = x["input_features"].transpose(1, 2)
        return F.pad(mel, (0, 2 * self.net.config.max_source_positions - mel.shape[-1]))  # pyright: ignore

    def _ended(self, labels: Tensor) -> Tensor:
        """Labels filled up with blanks -> ended by the end token, -100 where they are filled up, no longer than the decoder."""
        config: Any = self.net.config
        longer = F.pad(labels[:, : config.max_target_positions - 1], (0, 1), value=BLANK)
        longer = longer.scatter(1, (longer != BLANK).sum(1, keepdim=True), config.eos_token_id)
        return longer.masked_fill(longer == BLANK, -100)
