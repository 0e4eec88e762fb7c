//! The names of all types as one prefix trie over tokens, laid out flat.
//!
//! A trie and not a set of tokens, because the names share words: after "Cell", both "Type" and "Line" must stay open.

/// Built once per codec and shared by all sentences.
#[derive(Debug)]
pub(crate) struct TypeTrie {
    nodes: Vec<Node>,
    /// Children of all nodes: token and node, sorted by token within a node.
    children: Vec<(u32, u32)>,
    /// What a mask returns, per node: the children's tokens and, where a name ends, the token that closes the section.
    allowed: Vec<u32>,
    /// Type ids in the order of their names' tokens.
    order: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    children: (u32, u32),
    allowed: (u32, u32),
    /// The type whose name ends here.
    ends: Option<u32>,
    /// The types below this node, as a range of `order`.
    types: (u32, u32),
}

impl TypeTrie {
    pub(crate) const ROOT: u32 = 0;

    /// `names` are the tokenised names, by type id, all different and none empty; `closer` is the token behind a name.
    pub(crate) fn new(names: &[Vec<u32>], closer: u32) -> Self {
        let mut order: Vec<u32> = (0..names.len() as u32).collect();
        order.sort_unstable_by_key(|&i| &names[i as usize]);
        let mut trie = Self { nodes: Vec::new(), children: Vec::new(), allowed: Vec::new(), order: Vec::new() };
        // Nodes in breadth-first order; each stands for a range of the sorted names that share `depth` tokens.
        let mut queue = std::collections::VecDeque::from([(0, order.len(), 0)]);
        let mut next_node = 1;
        while let Some((mut low, high, depth)) = queue.pop_front() {
            let types = (low as u32, high as u32);
            let name = |at: usize| names[order[at] as usize].as_slice();
            let ends = (low < high && name(low).len() == depth).then(|| order[low]);
            low += usize::from(ends.is_some());
            let (first_child, first_allowed) = (trie.children.len() as u32, trie.allowed.len());
            while low < high {
                let token = name(low)[depth];
                let same = (low..high).take_while(|&at| name(at)[depth] == token).count();
                trie.children.push((token, next_node));
                trie.allowed.push(token);
                queue.push_back((low, low + same, depth + 1));
                next_node += 1;
                low += same;
            }
            if ends.is_some() {
                let at = first_allowed + trie.allowed[first_allowed..].partition_point(|&t| t < closer);
                if trie.allowed.get(at) != Some(&closer) {
                    trie.allowed.insert(at, closer);
                }
            }
            trie.nodes.push(Node {
                children: (first_child, trie.children.len() as u32),
                allowed: (first_allowed as u32, trie.allowed.len() as u32),
                ends,
                types,
            });
        }
        trie.order = order;
        trie
    }

    /// The allowed tokens at a node, sorted.
    pub(crate) fn allowed(&self, node: u32) -> &[u32] {
        let (from, to) = self.nodes[node as usize].allowed;
        &self.allowed[from as usize..to as usize]
    }

    pub(crate) fn child(&self, node: u32, token: u32) -> Option<u32> {
        let (from, to) = self.nodes[node as usize].children;
        let children = &self.children[from as usize..to as usize];
        children.binary_search_by_key(&token, |&(t, _)| t).ok().map(|i| children[i].1)
    }

    /// The types whose names begin with the tokens that lead to this node.
    pub(crate) fn types(&self, node: u32) -> &[u32] {
        let (from, to) = self.nodes[node as usize].types;
        &self.order[from as usize..to as usize]
    }

    /// The type whose name ends at this node.
    pub(crate) fn ends(&self, node: u32) -> Option<u32> {
        self.nodes[node as usize].ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_share_a_prefix_are_all_reachable() {
        // 1 = Cell, 2 = Type, 3 = Line, 9 = the separator
        let trie = TypeTrie::new(&[vec![1, 2], vec![1, 3], vec![1], vec![4]], 9);
        assert_eq!(trie.allowed(TypeTrie::ROOT), [1, 4]);
        let cell = trie.child(TypeTrie::ROOT, 1).unwrap();
        assert_eq!(trie.allowed(cell), [2, 3, 9]);
        assert_eq!(trie.ends(cell), Some(2));
        assert_eq!(trie.ends(trie.child(cell, 3).unwrap()), Some(1));
        assert_eq!(trie.child(cell, 4), None);
    }
}
