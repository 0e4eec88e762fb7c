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

    pub(crate) fn advance(&mut self, new: usize) {
        self.used += new;
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
