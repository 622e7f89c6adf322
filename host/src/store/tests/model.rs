//! Sequences of actions against a map that does what the store should do. Deaths of the process are in `crash`: a copy of an
//! open store is not what a death leaves behind, because its thread goes on while files are copied one after the other.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Action {
    /// Keys with their sizes; no size removes.
    Apply(BTreeMap<u8, Option<u16>>),
    Scan(Bound<u8>, Bound<u8>),
    /// Close and open.
    Reopen,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let bound = || {
        prop_oneof![
            any::<u8>().prop_map(Bound::Included),
            any::<u8>().prop_map(Bound::Excluded),
            Just(Bound::Unbounded)
        ]
    };
    let size = prop_oneof![1 => Just(None), 4 => (0..4000_u16).prop_map(Some)];
    let action = prop_oneof![
        8 => prop::collection::btree_map(any::<u8>(), size, 0..40).prop_map(Action::Apply),
        3 => (bound(), bound()).prop_map(|(start, end)| Action::Scan(start, end)),
        1 => Just(Action::Reopen),
    ];
    prop::collection::vec(action, 1..40)
}

fn key(number: u8) -> Vec<u8> {
    format!("key-{number:03}").into_bytes()
}

/// The bytes of a bound, to be borrowed.
fn bytes(bound: Bound<u8>) -> Bound<Vec<u8>> {
    bound.map(key)
}

pub(super) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() { copy(&from, &to) } else { std::fs::copy(&from, &to).map(|_| ()).unwrap() }
    }
}

struct Run {
    root: TempDir,
    engine: Option<Box<dyn StoreEngine>>,
    model: Content,
    applied: usize,
}

impl Run {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        let engine = stores(root.path(), "model").open(TASK).unwrap();
        Self { root, engine: Some(engine), model: Content::new(), applied: 0 }
    }

    fn engine(&mut self) -> &mut dyn StoreEngine {
        self.engine.as_mut().unwrap().as_mut()
    }

    fn step(&mut self, action: &Action) {
        match action {
            Action::Apply(writes) => self.apply(writes),
            Action::Scan(start, end) => {
                let (start, end) = (bytes(*start), bytes(*end));
                let range = (start.as_ref().map(Vec::as_slice), end.as_ref().map(Vec::as_slice));
                let is_inside =
                    |key: &Vec<u8>| std::ops::RangeBounds::<[u8]>::contains(&range, key.as_slice());
                let expected = self.model.clone().into_iter().filter(|(key, _)| is_inside(key)).collect();
                assert_eq!(scanned(self.engine(), range).unwrap(), Content::clone(&expected));
            }
            Action::Reopen => {
                self.engine = None;
                self.engine = Some(stores(self.root.path(), "model").open(TASK).unwrap());
            }
        }
    }

    fn apply(&mut self, writes: &BTreeMap<u8, Option<u16>>) {
        self.applied += 1;
        let fill = self.applied as u8;
        let writes: Vec<_> = writes
            .iter()
            .map(|(number, size)| (key(*number), size.map(|size| vec![fill; usize::from(size)])))
            .collect();
        self.engine()
            .apply(&mut writes.iter().map(|(key, value)| (key.as_slice(), value.as_deref())))
            .unwrap();
        for (key, value) in writes {
            match value {
                Some(value) => self.model.insert(key, value),
                None => self.model.remove(&key),
            };
        }
    }

    fn check(&mut self) {
        let model = self.model.clone();
        for number in 0..=u8::MAX {
            assert_eq!(self.engine().get(&key(number)).unwrap(), model.get(&key(number)).cloned());
        }
        assert_eq!(scanned(self.engine(), EVERYTHING).unwrap(), model);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn does_what_a_map_does(actions in actions()) {
        let mut run = Run::new();
        for action in &actions {
            run.step(action);
        }
        run.check();
        run.step(&Action::Reopen);
        run.check();
        // Nothing was dropped on the way.
        prop_assert_eq!(dropped("model", "damaged"), 0);
    }
}
