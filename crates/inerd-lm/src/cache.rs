use burn::tensor::{Device, Int, Tensor, TensorData};

/// Keys and values of the tokens seen so far, one pair of `[rows, heads, capacity, head width]` per layer.
///
/// All rows write into the same slots, so that a step is one slice assignment; which slots belong to which row is the
/// caller's mask. The room is allocated once and grows by doubling.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<Option<(Tensor<4>, Tensor<4>)>>,
    used: usize,
    capacity: usize,
}

impl KvCache {
    /// Room for `capacity` slots in each of `layers` layers.
    pub fn new(layers: usize, capacity: usize) -> Self {
        Self { layers: (0..layers).map(|_| None).collect(), used: 0, capacity }
    }

    /// Slots in use.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Writes new keys and values `[rows, heads, new, head width]` behind the used slots and returns all of them,
    /// `[rows, heads, used + new, head width]`. The slots count as used after [`KvCache::advance`].
    pub(crate) fn append(&mut self, layer: usize, key: Tensor<4>, value: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
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

    pub(crate) fn advance(&mut self, new: usize) {
        self.used += new;
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
