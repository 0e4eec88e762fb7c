//! Reading tokens into the cache, rows of different lengths together.

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::attention::{HIDDEN, Mask};
use crate::cache::{OwnSlots, SharedSlots};
use crate::{Input, KvCache, LanguageModel, fused};

/// Sequences that grow side by side.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) model: &'a LanguageModel,
    pub(crate) device: &'a Device,
    cache: KvCache,
    rows: Vec<Sequence>,
}

#[derive(Debug, Clone, Default)]
struct Sequence {
    /// Shared slots of the cache that hold this sequence's own tokens.
    visible: Vec<bool>,
    /// Tokens read so far.
    length: usize,
}

impl<'a> Reader<'a> {
    /// `rows` empty sequences, with room for `capacity` tokens to begin with.
    pub(crate) fn new(model: &'a LanguageModel, rows: usize, capacity: usize, device: &'a Device) -> Self {
        let layers = model.config.cache_layers();
        let cache = if fused::is_cpu(device) {
            KvCache::Own(OwnSlots::new(layers, rows, capacity))
        } else {
            KvCache::Shared(SharedSlots::new(layers, capacity))
        };
        Self { model, device, cache, rows: vec![Sequence::default(); rows] }
    }

    /// Tokens that a row has read.
    pub(crate) fn length(&self, row: usize) -> usize {
        self.rows[row].length
    }

    /// Reads each row's next tokens (at least one); gives the hidden state behind each row's last one,
    /// `[rows, embedding]`.
    pub(crate) fn read(&mut self, pending: &[impl AsRef<[u32]>]) -> Tensor<2> {
        let pending: Vec<&[u32]> = pending.iter().map(AsRef::as_ref).collect();
        let (input, last) = match &mut self.cache {
            KvCache::Own(cache) => one_behind_another(&self.rows, &pending, cache, self.device),
            KvCache::Shared(cache) => side_by_side(&mut self.rows, &pending, cache.used(), self.device),
        };
        self.rows.iter_mut().zip(&pending).for_each(|(row, pending)| row.length += pending.len());
        let hidden = self.model.decoder.hidden(&input, Some(&mut self.cache));
        let [rows, width, embedding] = hidden.dims();
        let last = Tensor::<1, Int>::from_data(TensorData::new(last, [pending.len()]), self.device);
        hidden.reshape([rows * width, embedding]).select(0, last)
    }

    /// Goes on with the given rows, in the given order; a row may go on as several.
    pub(crate) fn keep(&mut self, rows: &[usize]) {
        if (0..self.rows.len()).eq(rows.iter().copied()) {
            return;
        }
        match &mut self.cache {
            KvCache::Own(cache) => cache.keep_rows(rows),
            KvCache::Shared(cache) if rows.is_empty() => cache.clear(),
            KvCache::Shared(cache) => cache.keep_rows(rows, self.device),
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
        let (own, others) = (slots(&self.rows), slots(&other.rows));
        self.rows.extend(other.rows);
        match (&mut self.cache, other.cache) {
            (KvCache::Own(cache), KvCache::Own(other)) => cache.join(other, more),
            (KvCache::Shared(cache), KvCache::Shared(other)) => {
                cache.join(&own, other, &others, more, self.device);
                let used = cache.used();
                for row in &mut self.rows {
                    row.visible = (0..used).map(|slot| slot < row.length).collect();
                }
            }
            _ => unreachable!("readers of one device have caches of one kind"),
        }
    }
}

/// The next tokens of all rows as a single sequence, and where the last ones of each row stand in it.
fn one_behind_another(
    rows: &[Sequence],
    pending: &[&[u32]],
    cache: &mut OwnSlots,
    device: &Device,
) -> (Input, Vec<i32>) {
    let lengths: Vec<usize> = pending.iter().map(|p| p.len()).collect();
    let mask = cache.begin(&lengths);
    let places = rows.iter().zip(&lengths).flat_map(|(row, new)| row.length..row.length + new);
    let positions: Vec<u32> = places.map(|position| position as u32).collect();
    let mut end = 0;
    let last = lengths.iter().map(|new| {
        end += new;
        end as i32 - 1
    });
    let last = last.collect();
    (Input::new(&pending.concat(), &positions, 1, mask, device), last)
}

/// The next tokens of all rows, padded to equal lengths, with `used` slots of the cache before them; and where the last
/// ones of each row stand.
fn side_by_side(rows: &mut [Sequence], pending: &[&[u32]], used: usize, device: &Device) -> (Input, Vec<i32>) {
    let count = rows.len();
    let width = pending.iter().map(|p| p.len()).max().unwrap_or(0);
    let (mut ids, mut positions) = (vec![0u32; count * width], vec![0u32; count * width]);
    let mut scores = vec![HIDDEN; count * width * (used + width)];
    let mut last = Vec::with_capacity(count);
    for (r, (row, pending)) in rows.iter_mut().zip(pending).enumerate() {
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
    }
    let mask = TensorData::new(scores, [count, 1, width, used + width]);
    let mask = Mask::Additive(Tensor::from_data(mask, device));
    (Input::new(&ids, &positions, count, mask, device), last)
}
