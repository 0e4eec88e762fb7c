//! Type names in natural words: what the language model reads and writes.

/// Natural words for a label that no card names: separators become spaces, camel case is split, words are capitalised,
/// capitals (`GPE`) are kept. `"Gene_or_gene_product"` → `"Gene Or Gene Product"`, `"VisualWork"` → `"Visual Work"`.
pub fn natural_words(label: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let chars: Vec<char> = label.chars().collect();
    for (i, &c) in chars.iter().enumerate() {
        if !c.is_alphanumeric() {
            words.push(std::mem::take(&mut word));
            continue;
        }
        let after_lower = i > 0 && chars.get(i - 1).is_some_and(|p| p.is_lowercase());
        if c.is_uppercase() && after_lower {
            words.push(std::mem::take(&mut word));
        }
        word.push(c);
    }
    words.push(word);
    let capitalised = words.iter().filter(|w| !w.is_empty()).map(|word| {
        let mut chars = word.chars();
        chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect::<String>())
    });
    capitalised.collect::<Vec<_>>().join(" ")
}

/// Up to three names nearest to `name`, best first: candidates for "did you mean".
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut scored: Vec<(f64, &str)> = (candidates.into_iter())
        .map(|c| (strsim::jaro_winkler(&name.to_lowercase(), &c.to_lowercase()), c))
        .filter(|&(score, _)| score > 0.8)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.into_iter().take(3).map(|(_, c)| format!("`{c}`")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_become_words() {
        for (label, words) in [
            ("creative-work", "Creative Work"),
            ("Gene_or_gene_product", "Gene Or Gene Product"),
            ("VisualWork", "Visual Work"),
            ("OtherPER", "Other PER"),
            ("/location/body_of_water", "Location Body Of Water"),
            ("GPE", "GPE"),
            ("__", ""),
        ] {
            assert_eq!(natural_words(label), words);
        }
    }

    #[test]
    fn the_nearest_names_come_first() {
        assert_eq!(nearest("wnut-17", ["wnut17", "gmb", "snips"]), ["`wnut17`"]);
        assert!(nearest("zzz", ["wnut17"]).is_empty());
    }
}
