use crate::define::{choices, settings};

choices! {
    /// Where the weights come from.
    pub enum ModelKind {
        /// Random weights of the shape given here.
        Scratch = "scratch",
        /// A folder with `config.json` and `model.safetensors`.
        Pretrained = "pretrained",
    }

    /// The architecture of a model from scratch.
    pub enum Architecture {
        /// GPT-2: learnt positions, layer norm, GELU.
        Gpt2 = "gpt2",
        /// Llama: rotary positions, RMS norm, SwiGLU.
        Llama = "llama",
        /// GPT-NeoX, as Pythia: rotary positions, attention and feed-forward side by side.
        GptNeoX = "gpt-neox",
        /// Falcon: rotary positions, one key-value head, attention and feed-forward side by side.
        Falcon = "falcon",
    }
}

settings! {
    /// The model before any training of this experiment.
    pub struct Model {
        /// `scratch` or `pretrained`.
        kind: ModelKind = ModelKind::Scratch;
        /// Folder of a pretrained model, or its name in the models folder.
        path: Option<String> = None;
        /// Architecture of a model from scratch.
        architecture: Architecture = Architecture::Gpt2;
        /// Number of blocks.
        layers: usize = 4, [.range(1.0, 1000.0)];
        /// Width of the residual stream (d).
        width: usize = 128, [.range(1.0, 100_000.0)];
        /// Attention heads; they divide the width.
        heads: usize = 4, [.range(1.0, 1000.0)];
        /// Key-value heads of a Llama, each shared by several heads; one per head where it is absent.
        kv_heads: Option<usize> = None, [.skip_default()];
        /// Longest sequence, in tokens.
        context: usize = 256, [.range(8.0, 10_000_000.0)];
    }
}
