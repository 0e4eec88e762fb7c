//! Reading tokens into the cache, rows of different lengths together.

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::attention::{HIDDEN, Mask};
use crate::{Input, KvCache, LanguageModel};

/// Sequences that grow side by side. All rows share the cache's slots; which of them are a row's own, the row knows.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) model: &'a LanguageModel,
    pub(crate) device: &'a Device,
    cache: KvCache,
    rows: Vec<Sequence>,
}

#[derive(Debug, Clone, Default)]
struct Sequence {
    /// Slots of the cache that hold this sequence's own tokens.
    visible: Vec<bool>,
    /// Tokens read so far.
    length: usize,
}

impl<'a> Reader<'a> {
    /// `rows` empty sequences, with room for `capacity` tokens to begin with.
    pub(crate) fn new(model: &'a LanguageModel, rows: usize, capacity: usize, device: &'a Device) -> Self {
        let cache = KvCache::new(model.config.cache_layers(), capacity);
        Self { model, device, cache, rows: vec![Sequence::default(); rows] }
    }

    /// Tokens that a row has read.
    pub(crate) fn length(&self, row: usize) -> usize {
        self.rows[row].length
    }

    /// Reads each row's next tokens (at least one); gives the hidden state behind each row's last one,
    /// `[rows, embedding]`.
    pub(crate) fn read(&mut self, pending: &[impl AsRef<[u32]>]) -> Tensor<2> {
        let rows = self.rows.len();
        let width = pending.iter().map(|p| p.as_ref().len()).max().unwrap_or(0);
        let used = self.cache.used();
        let (mut ids, mut positions) = (vec![0u32; rows * width], vec![0u32; rows * width]);
        let mut scores = vec![HIDDEN; rows * width * (used + width)];
        let mut last = Vec::with_capacity(rows);
        for (r, (row, pending)) in self.rows.iter_mut().zip(pending).enumerate() {
            let pending = pending.as_ref();
            let new = pending.len();
            last.push((r * width + new - 1) as i32);
            for (t, &id) in pending.iter().enumerate() {
                ids[r * width + t] = id;
                positions[r * width + t] = (row.length + t) as u32;
                let seen = &mut scores[(r * width + t) * (used + width)..][..used + width];
                for (score, &visible) in seen.iter_mut().zip(&row.visible) {
                    if visible {
                        *score = 0.0;
                    }
                }
                seen[used..=used + t].fill(0.0);
            }
            row.visible.extend((0..width).map(|t| t < new));
            row.length += new;
        }
        let mask = TensorData::new(scores, [rows, 1, width, used + width]);
        let mask = Mask::Additive(Tensor::from_data(mask, self.device));
        let input = Input::new(&ids, &positions, rows, mask, self.device);
        let hidden = self.model.decoder.hidden(&input, Some(&mut self.cache));
        let [_, _, embedding] = hidden.dims();
        let last = Tensor::<1, Int>::from_data(TensorData::new(last, [rows]), self.device);
        hidden.reshape([rows * width, embedding]).select(0, last)
    }

    /// Goes on with the given rows, in the given order; a row may go on as several.
    pub(crate) fn keep(&mut self, rows: &[usize]) {
        if (0..self.rows.len()).eq(rows.iter().copied()) {
            return;
        }
        if rows.is_empty() {
            self.cache.clear();
        } else {
            self.cache.keep_rows(rows, self.device);
        }
        self.rows = rows.iter().map(|&r| self.rows[r].clone()).collect();
    }

    /// Takes in the sequences of another reader behind its own. The slots that no row needs any more are given up; the
    /// cache keeps room for `more` tokens.
    pub(crate) fn join(&mut self, other: Self, more: usize) {
        let slots = |rows: &[Sequence]| -> Vec<Vec<usize>> {
            let visible = |row: &Sequence| (0..row.visible.len()).filter(|&s| row.visible[s]).collect();
            rows.iter().map(visible).collect()
        };
        self.cache.join(&slots(&self.rows), other.cache, &slots(&other.rows), more, self.device);
        self.rows.extend(other.rows);
        let used = self.cache.used();
        for row in &mut self.rows {
            row.visible = (0..used).map(|slot| slot < row.length).collect();
        }
    }
}
