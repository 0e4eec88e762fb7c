use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::attention::Mask;
use crate::fused::{self, Pattern};

/// Keys and values of the tokens seen so far, layer by layer.
#[derive(Debug)]
pub enum KvCache {
    /// Every row has slots of its own, as many as it has tokens: new tokens of all rows come as one sequence, without
    /// padding. On the CPU.
    Own(OwnSlots),
    /// All rows write into the same slots, so that a step is one slice assignment; which of them belong to which row is
    /// the caller's mask. Elsewhere.
    Shared(SharedSlots),
}

impl KvCache {
    /// Takes new keys and values `[rows, heads, new, head width]` and gives all of them, in the shape that the step's
    /// mask counts on. They count as used after [`KvCache::advance`].
    pub(crate) fn append(&mut self, layer: usize, key: Tensor<4>, value: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        match self {
            Self::Own(cache) => cache.append(layer, key, value),
            Self::Shared(cache) => cache.append(layer, key, value),
        }
    }

    pub(crate) fn advance(&mut self, new: usize) {
        match self {
            Self::Own(cache) => cache.advance(),
            Self::Shared(cache) => cache.used += new,
        }
    }
}

/// Rooms of equal size, one per row, one behind another: `[rooms * capacity, heads, head width]` per layer.
#[derive(Debug)]
pub struct OwnSlots {
    layers: Vec<Option<(Tensor<3>, Tensor<3>)>>,
    capacity: usize,
    rows: Vec<Room>,
    /// The places of the tokens that the current step reads.
    places: Vec<usize>,
}

#[derive(Debug, Clone, Copy)]
struct Room {
    /// Which room a row has; rows that have gone leave theirs empty.
    index: usize,
    /// Slots in use.
    used: usize,
    /// Slots that the current step fills.
    new: usize,
}

impl OwnSlots {
    pub(crate) fn new(layers: usize, rows: usize, capacity: usize) -> Self {
        let rows = (0..rows).map(|index| Room { index, used: 0, new: 0 }).collect();
        Self { layers: (0..layers).map(|_| None).collect(), capacity, rows, places: Vec::new() }
    }

    /// Makes room for each row's next tokens, so many as `new` says, and gives the mask under which they are read.
    pub(crate) fn begin(&mut self, new: &[usize]) -> Mask {
        let longest = self.rows.iter().zip(new).map(|(row, new)| row.used + new).max().unwrap_or(0);
        if longest > self.capacity {
            self.rebuild(None, longest.max(2 * self.capacity));
        }
        let mut pattern = Pattern::default();
        self.places.clear();
        for (row, &new) in self.rows.iter_mut().zip(new) {
            let first = row.index * self.capacity;
            let slots = first + row.used..first + row.used + new;
            pattern.push(first, slots.clone().map(|slot| slot + 1));
            self.places.extend(slots);
            row.new = new;
        }
        Mask::Pattern(Arc::new(pattern))
    }

    fn append(&mut self, layer: usize, key: Tensor<4>, value: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        let [_, heads, _, width] = key.dims();
        let rooms = self.rows.iter().map(|row| row.index + 1).max().unwrap_or(0);
        let (keys, values) = self.layers[layer].take().unwrap_or_else(|| {
            let room = || Tensor::zeros([rooms * self.capacity, heads, width], &key.device());
            (room(), room())
        });
        let keys = fused::write_tokens(keys, &self.places, key);
        let values = fused::write_tokens(values, &self.places, value);
        let all = |tokens: &Tensor<3>| tokens.clone().swap_dims(0, 1).unsqueeze_dim(0);
        let seen = (all(&keys), all(&values));
        self.layers[layer] = Some((keys, values));
        seen
    }

    fn advance(&mut self) {
        for row in &mut self.rows {
            row.used += std::mem::take(&mut row.new);
        }
    }

    /// Goes on with the given rows, in the given order; a row may go on as several.
    pub(crate) fn keep_rows(&mut self, rows: &[usize]) {
        self.rows = rows.iter().map(|&row| self.rows[row]).collect();
        let mut rooms: Vec<usize> = self.rows.iter().map(|row| row.index).collect();
        rooms.sort_unstable();
        rooms.dedup();
        if rooms.len() < self.rows.len() {
            self.rebuild(None, self.capacity);
        }
    }

    /// Takes in the rows of another cache behind its own, with room for `more` tokens.
    pub(crate) fn join(&mut self, other: Self, more: usize) {
        let used = self.rows.iter().chain(&other.rows).map(|row| row.used).max().unwrap_or(0);
        self.rebuild(Some(other), used + more);
    }

    /// Lays all rows out anew, those of another cache behind.
    fn rebuild(&mut self, other: Option<Self>, capacity: usize) {
        let others = other.as_ref().map_or(&[][..], |other| &other.rows);
        let count = self.rows.len() + others.len();
        let mut layers: Vec<[Vec<(Tensor<3>, &[Room], usize)>; 2]> = Vec::new();
        for layer in 0..self.layers.len() {
            let own = self.layers[layer].clone().map(|pair| (pair, self.rows.as_slice(), self.capacity));
            let others = other.as_ref().and_then(|o| Some((o.layers[layer].clone()?, others, o.capacity)));
            let parts = own.into_iter().chain(others);
            let (keys, values) =
                parts.map(|((key, value), rows, room)| ((key, rows, room), (value, rows, room))).unzip();
            layers.push([keys, values]);
        }
        let moved = |parts: Vec<(Tensor<3>, &[Room], usize)>| -> Option<Tensor<3>> {
            let [_, heads, width] = parts.first()?.0.dims();
            let mut room = Tensor::zeros([count * capacity, heads, width], &parts[0].0.device());
            let mut row = count - parts.iter().map(|(_, rows, _)| rows.len()).sum::<usize>();
            for (old, rows, size) in parts {
                for from in rows {
                    if from.used > 0 {
                        let kept = old.clone().narrow(0, from.index * size, from.used).swap_dims(0, 1).unsqueeze_dim(0);
                        let places: Vec<usize> = (row * capacity..row * capacity + from.used).collect();
                        room = fused::write_tokens(room, &places, kept);
                    }
                    row += 1;
                }
            }
            Some(room)
        };
        let layers = layers.into_iter().map(|[keys, values]| moved(keys).zip(moved(values))).collect();
        let rows = self.rows.iter().chain(others).zip(0..);
        let rows = rows.map(|(row, index)| Room { index, ..*row }).collect();
        (self.layers, self.rows, self.capacity) = (layers, rows, capacity);
    }
}

/// One pair of `[rows, heads, capacity, head width]` per layer. The room is allocated once and grows by doubling.
#[derive(Debug)]
pub struct SharedSlots {
    layers: Vec<Option<(Tensor<4>, Tensor<4>)>>,
    used: usize,
    capacity: usize,
}

impl SharedSlots {
    /// Room for `capacity` slots in each of `layers` layers.
    pub(crate) fn new(layers: usize, capacity: usize) -> Self {
        Self { layers: (0..layers).map(|_| None).collect(), used: 0, capacity }
    }

    /// Slots in use.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// Writes new keys and values `[rows, heads, new, head width]` behind the used slots and returns all of them,
    /// `[rows, heads, used + new, head width]`.
    fn append(&mut self, layer: usize, key: Tensor<4>, value: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        let [rows, heads, new, width] = key.dims();
        let end = self.used + new;
        let (keys, values) = self.layers[layer].take().unwrap_or_else(|| {
            let room = || Tensor::zeros([rows, heads, self.capacity.max(end), width], &key.device());
            (room(), room())
        });
        let (keys, values) = (reserve(keys, end), reserve(values, end));
        let here = [0..rows, 0..heads, self.used..end, 0..width];
        let keys = keys.slice_assign(here.clone(), key);
        let values = values.slice_assign(here, value);
        let seen = [0..rows, 0..heads, 0..end, 0..width];
        let all = (keys.clone().slice(seen.clone()), values.clone().slice(seen));
        self.layers[layer] = Some((keys, values));
        all
    }

    /// Moves each row's own slots to the front, in order, and takes in the rows of another cache. `own` and `others`
    /// list the slots that each row keeps; behind them is room for `more` tokens.
    pub(crate) fn join(
        &mut self,
        own: &[Vec<usize>],
        other: Self,
        others: &[Vec<usize>],
        more: usize,
        device: &Device,
    ) {
        let used = own.iter().chain(others).map(Vec::len).max().unwrap_or(0);
        let capacity = used + more;
        for (layer, joining) in self.layers.iter_mut().zip(other.layers) {
            let pairs = [layer.take().zip(Some(own)), joining.zip(Some(others))];
            let (mut keys, mut values) = (Vec::new(), Vec::new());
            for ((key, value), slots) in pairs.into_iter().flatten() {
                keys.extend(compact(&key, slots, capacity, device));
                values.extend(compact(&value, slots, capacity, device));
            }
            *layer = (!keys.is_empty()).then(|| (Tensor::cat(keys, 0), Tensor::cat(values, 0)));
        }
        (self.used, self.capacity) = (used, capacity);
    }

    /// Forgets everything; the next tokens begin anew.
    pub(crate) fn clear(&mut self) {
        self.layers.iter_mut().for_each(|layer| *layer = None);
        self.used = 0;
    }

    /// Keeps only the given rows, in the given order.
    pub(crate) fn keep_rows(&mut self, rows: &[usize], device: &Device) {
        let index = rows.iter().map(|&r| r as i32).collect::<Vec<_>>();
        let index = Tensor::<1, Int>::from_data(TensorData::new(index, [rows.len()]), device);
        for layer in &mut self.layers {
            *layer = layer.take().map(|(k, v)| (k.select(0, index.clone()), v.select(0, index.clone())));
        }
    }
}

fn reserve(room: Tensor<4>, slots: usize) -> Tensor<4> {
    let [rows, heads, capacity, width] = room.dims();
    if slots <= capacity {
        return room;
    }
    let more = Tensor::zeros([rows, heads, slots.max(2 * capacity) - capacity, width], &room.device());
    Tensor::cat(vec![room, more], 2)
}

/// Each row with the given slots at its front and zeros behind, `[1, heads, capacity, head width]`.
fn compact(room: &Tensor<4>, slots: &[Vec<usize>], capacity: usize, device: &Device) -> Vec<Tensor<4>> {
    let [_, heads, _, width] = room.dims();
    let row = |(row, slots): (usize, &Vec<usize>)| {
        let index: Vec<i32> = slots.iter().map(|&s| s as i32).collect();
        let index = Tensor::<1, Int>::from_data(TensorData::new(index, [slots.len()]), device);
        let kept = room.clone().narrow(0, row, 1).select(2, index);
        let empty = Tensor::zeros([1, heads, capacity - slots.len(), width], device);
        Tensor::cat(vec![kept, empty], 2)
    };
    slots.iter().enumerate().map(row).collect()
}
