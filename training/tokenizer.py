"""A byte-level BPE in CLIP's tokenizer.json format, with a vocabulary of its own: CLIP's 49,408 entries would cost 25 MB."""

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from captions import corpus
from pictures import Pictures
from recipe import CONTEXT, FOLDER, VOCABULARY

BOS, EOS = "<|startoftext|>", "<|endoftext|>"
BOS_ID, EOS_ID = 0, 1
# openai/CLIP, clip/simple_tokenizer.py
PATTERN = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def _frame(tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.post_processor = processors.RobertaProcessing(
        (EOS, EOS_ID), (BOS, BOS_ID), trim_offsets=False, add_prefix_space=False
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def train() -> None:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    # Every byte, inside a word and at its end, so that whatever is typed has tokens; the rest of the vocabulary is learned.
    base = [BOS, EOS, *alphabet, *[f"{byte}</w>" for byte in alphabet]]
    learner = _frame(Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=EOS)))
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, end_of_word_suffix="</w>", special_tokens=[BOS, EOS], initial_alphabet=alphabet
    )
    learner.train_from_iterator(corpus(Pictures()), trainer)
    import json

    merges = [tuple(m) for m in json.loads(learner.to_str())["model"]["merges"]]
    vocabulary = {token: i for i, token in enumerate(base)}
    kept = []
    for left, right in merges:
        if len(vocabulary) == VOCABULARY:
            break
        kept.append((left, right))
        vocabulary.setdefault(left + right, len(vocabulary))
    model = models.BPE(vocab=vocabulary, merges=kept, end_of_word_suffix="</w>", unk_token=EOS, continuing_subword_prefix="")
    tokenizer = _frame(Tokenizer(model))
    tokenizer.add_special_tokens([BOS, EOS])
    tokenizer.save(str(FOLDER / "tokenizer.json"))
    print(f"tokenizer: {len(vocabulary)} entries; 'a penguin on a pink background' is {len(tokenizer.encode('a penguin on a pink background').ids)} tokens")


class Encoder:
    """Texts to token ids [B, 24], begun, ended and padded as CLIP does."""

    def __init__(self):
        self.tokenizer = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))

    def __call__(self, texts: list[str]) -> list[list[int]]:
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> list[int]:
        ids = self.tokenizer.encode(text).ids
        ids = ids if len(ids) <= CONTEXT else [*ids[: CONTEXT - 1], EOS_ID]
        return ids + [EOS_ID] * (CONTEXT - len(ids))


if __name__ == "__main__":
    train()
