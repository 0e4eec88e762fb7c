//! How far an answer has come.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::limits::Taken;
use crate::spans::Range;

/// How far an answer has come. Cheap to clone: a beam is one of these.
///
/// Nearly always one reading; several where the text itself holds a separator, so that what was written can be read in
/// more than one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    pub(crate) readings: SmallVec<[Reading; 1]>,
}

/// One way to read what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) place: Place,
    /// The type of the record, once it is written.
    pub(crate) kind: Option<u32>,
    /// The content of the record in bytes of the sentence, once it is written before its type.
    pub(crate) content: (u32, u32),
    /// How many entities are complete.
    pub(crate) count: u32,
    /// The entities that are open, in the inline layout.
    pub(crate) open: Open,
    /// The entities that are complete, where a rule asks for them. Shared: it grows once per entity.
    pub(crate) taken: Option<Arc<Vec<Taken>>>,
}

impl Reading {
    pub(crate) fn new(place: Place) -> Self {
        Self { place, kind: None, content: (0, 0), count: 0, open: Open::default(), taken: None }
    }

    /// The same reading at another place.
    pub(crate) fn at(&self, place: Place) -> Self {
        Self { place, ..self.clone() }
    }

    pub(crate) fn taken(&self) -> &[Taken] {
        self.taken.as_ref().map_or(&[], |taken| taken.as_slice())
    }

    pub(crate) fn take(&mut self, taken: Taken) {
        let mut all = self.taken().to_vec();
        all.push(taken);
        self.taken = Some(Arc::new(all));
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nothing is forbidden and nothing tracked.
    Free,
    /// Before a record or the end.
    Start,
    /// Within a literal, of which `done` tokens stand.
    Literal {
        which: u8,
        done: u8,
    },
    /// Within the name of a type.
    Type {
        node: u32,
    },
    /// Within a type, when names are not checked.
    LooseType {
        begun: bool,
    },
    /// Within a content that copies a span.
    Content(Range),
    /// Within a content that is checked by its last token at most.
    LooseContent {
        last: Option<u32>,
    },
    /// Inline: within the sentence, at this place of the chain.
    Sentence {
        at: u32,
    },
    /// Inline: before or within the head of a start, behind an opening mark.
    Head {
        start: u32,
        depth: u32,
    },
    /// In the authors' code, which looks at the last token only.
    Authors {
        section: Section,
        last: Option<u32>,
    },
    Done,
}

/// What the last separator was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Type,
    Content,
}

/// Entities that are open in the inline layout: for each the word (by place in the chain) where it begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Open {
    starts: [u32; Self::DEEPEST],
    depth: u8,
}

impl Open {
    /// Entities may be nested this deep.
    pub(crate) const DEEPEST: usize = 4;

    pub(crate) fn as_slice(&self) -> &[u32] {
        &self.starts[..usize::from(self.depth)]
    }

    /// # Errors
    /// When there is no room for another.
    pub(crate) fn push(&mut self, start: u32) -> Result<(), ()> {
        *self.starts.get_mut(usize::from(self.depth)).ok_or(())? = start;
        self.depth += 1;
        Ok(())
    }

    pub(crate) fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        // So that equal states compare equal.
        self.starts[usize::from(self.depth)] = 0;
    }
}
