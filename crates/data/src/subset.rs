//! `train_subset` and `val_subset`: the first N images of a class-balanced order that is the same for
//! every run, so that runs of different seeds and recipes see the same images.

use std::sync::Arc;

use rungs_spec::recipe::Task;

use crate::dataset::{Dataset, Image};
use crate::error::DataError;
use crate::random::{Purpose, Stream};
use crate::scenes::{Mask, Object, Problem};

/// Seed of the order; independent of the run's seed on purpose.
const ORDER_SEED: u64 = 1812_01187;

/// The first `n` images of the class-balanced order; `None` is the dataset as it is.
/// Errors: more than there are, none, or `tensors:` (which is used whole).
pub fn subset(dataset: Arc<dyn Dataset>, n: Option<u64>) -> Result<Arc<dyn Dataset>, DataError> {
    let Some(n) = n else { return Ok(dataset) };
    let (name, len) = (dataset.name().to_owned(), dataset.len());
    if dataset.tensors().is_some() {
        return Err(DataError::Recipe(format!(
            "{name} is used whole, in its own order; leave out train_subset and val_subset"
        )));
    }
    if n == 0 || n > len as u64 {
        return Err(DataError::Recipe(format!(
            "a subset of {n} images cannot be cut from the {len} of this split of {name}; \
             set train_subset and val_subset between 1 and {len}, or leave them out"
        )));
    }
    let mut order = balanced_order(dataset.as_ref());
    order.truncate(n as usize);
    Ok(Arc::new(Subset { dataset, order }))
}

/// Round by round one image of each class that has any left, classes and images in random order:
/// every prefix has its classes as equal as can be.
fn balanced_order(dataset: &dyn Dataset) -> Vec<usize> {
    let mut by_class = vec![Vec::new(); dataset.classes()];
    for index in 0..dataset.len() {
        by_class[dataset.label(index) as usize].push(index);
    }
    let mut stream = Stream::new(Purpose::Subset, ORDER_SEED, 0, dataset.len() as u64);
    for images in &mut by_class {
        stream.shuffle(images);
    }
    let mut order = Vec::with_capacity(dataset.len());
    let mut classes: Vec<usize> = (0..by_class.len()).collect();
    while order.len() < dataset.len() {
        stream.shuffle(&mut classes);
        order.extend(classes.iter().filter_map(|class| by_class[*class].pop()));
    }
    order
}

struct Subset {
    dataset: Arc<dyn Dataset>,
    order: Vec<usize>,
}

impl Dataset for Subset {
    fn name(&self) -> &str {
        self.dataset.name()
    }
    fn len(&self) -> usize {
        self.order.len()
    }
    fn classes(&self) -> usize {
        self.dataset.classes()
    }
    fn class_names(&self) -> &[String] {
        self.dataset.class_names()
    }
    fn label(&self, index: usize) -> i64 {
        self.dataset.label(self.order[index])
    }
    fn id(&self, index: usize) -> u64 {
        self.dataset.id(self.order[index])
    }
    fn image_name(&self, index: usize) -> String {
        self.dataset.image_name(self.order[index])
    }
    fn place(&self, index: usize) -> String {
        self.dataset.place(self.order[index])
    }
    fn is_file(&self) -> bool {
        self.dataset.is_file()
    }
    fn image(&self, index: usize, into: &mut Image) -> Result<(), DataError> {
        self.dataset.image(self.order[index], into)
    }
    fn bytes(&self, index: usize, into: &mut Vec<u8>) -> Result<(), DataError> {
        self.dataset.bytes(self.order[index], into)
    }
    fn tasks(&self) -> &[Task] {
        self.dataset.tasks()
    }
    fn objects(&self, index: usize) -> &[Object] {
        self.dataset.objects(self.order[index])
    }
    fn mask_classes(&self) -> &[String] {
        self.dataset.mask_classes()
    }
    fn mask(&self, index: usize, into: &mut Mask) -> Result<(), DataError> {
        self.dataset.mask(self.order[index], into)
    }
    fn mask_place(&self, index: usize) -> String {
        self.dataset.mask_place(self.order[index])
    }
    fn annotation(&self, index: usize, into: &mut Vec<u8>) -> Result<(), DataError> {
        self.dataset.annotation(self.order[index], into)
    }
    fn problems(&self) -> &[Problem] {
        self.dataset.problems()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{Split, open};

    fn ids(n: u64) -> Vec<u64> {
        let part = subset(open("synthetic", None, Split::Train).unwrap(), Some(n)).unwrap();
        (0..part.len()).map(|i| part.id(i)).collect()
    }

    #[test]
    fn classes_are_as_equal_as_can_be_in_every_prefix() {
        let whole = open("synthetic", None, Split::Train).unwrap();
        for n in [1, 9, 10, 57, 500, 2000] {
            let part = subset(whole.clone(), Some(n)).unwrap();
            let mut counts = vec![0u64; part.classes()];
            (0..part.len()).for_each(|i| counts[part.label(i) as usize] += 1);
            assert_eq!(counts.iter().sum::<u64>(), n);
            assert!(
                counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1,
                "{n}: {counts:?}"
            );
        }
    }

    #[test]
    fn a_smaller_subset_begins_a_larger_one_and_none_is_twice() {
        let (small, large) = (ids(100), ids(2048));
        assert_eq!(small, large[..100]);
        let mut sorted = large.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..2048).collect::<Vec<_>>());
        assert_ne!(large, sorted);
    }

    #[test]
    fn a_subset_larger_than_the_split_is_refused() {
        for n in [0, 2049] {
            let Err(error) = subset(open("synthetic", None, Split::Train).unwrap(), Some(n)) else {
                panic!("cut")
            };
            assert!(error.to_string().contains("between 1 and 2048"), "{error}");
        }
    }
}
