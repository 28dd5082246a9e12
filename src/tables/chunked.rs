//! An array whose copies share what did not change: editing one of ten thousand entries copies one chunk of
//! pointers, not ten thousand.

use std::sync::Arc;

const CHUNK: usize = 64;
type Chunk<T> = [Option<Arc<T>>; CHUNK];

/// A persistent array of optional entries. Cloning it, and setting one entry of a clone, costs the number of entries
/// divided by 64, and 64.
#[derive(Debug)]
pub struct Chunked<T> {
    chunks: Vec<Arc<Chunk<T>>>,
}

impl<T> Clone for Chunked<T> {
    fn clone(&self) -> Self {
        Self { chunks: self.chunks.clone() }
    }
}

impl<T> Default for Chunked<T> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

impl<T> Chunked<T> {
    #[inline]
    pub fn get(&self, index: usize) -> Option<&Arc<T>> {
        self.chunks.get(index / CHUNK)?[index % CHUNK].as_ref()
    }

    pub fn set(&mut self, index: usize, value: Option<Arc<T>>) {
        while self.chunks.len() <= index / CHUNK {
            self.chunks.push(Arc::new([const { None }; CHUNK]));
        }
        let chunk = &mut self.chunks[index / CHUNK];
        match Arc::get_mut(chunk) {
            Some(entries) => entries[index % CHUNK] = value,
            None => {
                let mut entries = (**chunk).clone();
                entries[index % CHUNK] = value;
                *chunk = Arc::new(entries);
            }
        }
    }

    /// No entry has this index, or a greater one.
    pub fn end(&self) -> usize {
        self.chunks.len() * CHUNK
    }

    pub fn iter(&self) -> impl Iterator<Item = (usize, &Arc<T>)> {
        let entries = self.chunks.iter().flat_map(|chunk| chunk.iter());
        entries.enumerate().filter_map(|(i, entry)| entry.as_ref().map(|e| (i, e)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_what_the_other_one_changes() {
        let mut first = Chunked::default();
        for i in 0..200 {
            first.set(i, Some(Arc::new(i)));
        }
        let mut second = first.clone();
        second.set(70, None);
        second.set(500, Some(Arc::new(500)));
        assert_eq!(first.get(70).map(|v| **v), Some(70));
        assert!(second.get(70).is_none());
        assert_eq!(second.get(500).map(|v| **v), Some(500));
        assert!(first.get(500).is_none());
        assert_eq!(second.iter().count(), 200);
        assert!(Arc::ptr_eq(&first.chunks[0], &second.chunks[0]), "an unchanged chunk is shared");
        assert!(!Arc::ptr_eq(&first.chunks[1], &second.chunks[1]));
    }
}
