use serde::{Deserialize, Serialize};

/// The set of entity types that a corpus knows, in a fixed order (the index of a type is its id).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schema {
    types: Vec<String>,
}

impl Schema {
    /// Sorts and de-duplicates, so that two schemas of the same types are equal.
    pub fn new<I, S>(types: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        let mut types: Vec<String> = types.into_iter().map(Into::into).collect();
        types.sort();
        types.dedup();
        Self { types }
    }

    pub fn types(&self) -> &[String] {
        &self.types
    }

    pub fn len(&self) -> usize {
        self.types.len()
    }

    pub fn is_empty(&self) -> bool {
        self.types.is_empty()
    }

    /// The id of a type: its position in [`Schema::types`].
    pub fn id(&self, name: &str) -> Option<usize> {
        self.types.binary_search_by(|t| t.as_str().cmp(name)).ok()
    }

    pub fn contains(&self, name: &str) -> bool {
        self.id(name).is_some()
    }

    /// The union of several schemas.
    pub fn union<'a>(schemas: impl IntoIterator<Item = &'a Self>) -> Self {
        Self::new(schemas.into_iter().flat_map(|s| s.types.iter().cloned()))
    }
}
