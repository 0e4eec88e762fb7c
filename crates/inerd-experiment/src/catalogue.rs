//! Sizes of well-known models: enough to plan with, and to predict cost, where the weights aren't at hand.

use crate::fingerprint::Fingerprint;
use crate::inputs::BaseModel;

/// Name, parameters, layers, width, vocabulary, context: as their configurations have them.
const MODELS: &[(&str, u64, usize, usize, usize, usize)] = &[
    ("inerd-tiny", 6_968_320, 6, 256, 8_192, 512),
    ("gpt2", 124_439_808, 12, 768, 50_257, 1_024),
    ("gpt2-medium", 354_823_168, 24, 1_024, 50_257, 1_024),
    ("gpt2-large", 774_030_080, 36, 1_280, 50_257, 1_024),
    ("gpt2-xl", 1_557_611_200, 48, 1_600, 50_257, 1_024),
    ("RedPajama-INCITE-Base-3B-v1", 2_775_864_320, 32, 2_560, 50_432, 2_048),
    ("RedPajama-INCITE-7B-Base", 6_857_302_016, 32, 4_096, 50_432, 2_048),
    ("falcon-7b", 7_217_189_760, 32, 4_544, 65_024, 2_048),
    ("llama-7b", 6_738_415_616, 32, 4_096, 32_000, 2_048),
    ("llama-13b", 13_015_864_320, 40, 5_120, 32_000, 2_048),
    ("Llama-2-7b-hf", 6_738_415_616, 32, 4_096, 32_000, 4_096),
    ("Llama-2-13b-hf", 13_015_864_320, 40, 5_120, 32_000, 4_096),
];

/// A well-known model that isn't at hand, by name or by hub name (`owner/name`).
///
/// Its fingerprint is that of its name: stages planned with it change their identity once the weights are there, which
/// is right, for nobody can promise which weights those will be.
pub fn known_model(path: &str) -> Option<BaseModel> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let (_, parameters, layers, width, vocabulary, context) = *MODELS.iter().find(|model| model.0 == name)?;
    Some(BaseModel {
        fingerprint: Fingerprint::of(format!("absent model {path}")),
        present: false,
        parameters,
        layers,
        width,
        vocabulary,
        context,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hub_names_and_plain_names_are_known() {
        assert_eq!(known_model("meta-llama/Llama-2-7b-hf").map(|model| model.layers), Some(32));
        assert_eq!(known_model("gpt2").map(|model| model.present), Some(false));
        assert_eq!(known_model("nobody/nothing"), None);
    }
}
