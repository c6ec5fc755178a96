//! Every input in the corpora passes: those that reach code which no other input reaches, and those that once showed a fault.

#[cfg(test)]
mod replay {
    use std::fs;
    use std::panic::catch_unwind;
    use std::path::{Path, PathBuf};

    use area_net_fuzz::{target, targets};

    /// The most bytes that a target's corpus may have in the repository. Minimised corpora have under 100 kB each. Half: the larger ones would
    /// lose inputs. Double: a clone takes a megabyte more.
    const MOST_BYTES: usize = 160 * 1024;

    fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(name);
        let files =
            fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        files.sort();
        files
            .into_iter()
            .map(|file| (file.clone(), fs::read(&file).unwrap()))
            .collect()
    }

    fn replay(name: &str) {
        let target = target(name).unwrap();
        let inputs = corpus(name);
        let mut failed = Vec::new();
        for (file, input) in &inputs {
            if catch_unwind(|| (target.run)(input)).is_err() {
                failed.push(file);
            }
        }
        assert!(
            failed.is_empty(),
            "these inputs violate an invariant: {failed:#?}"
        );
        assert!(inputs.len() >= 10, "{name} has {} inputs", inputs.len());
        let bytes: usize = inputs.iter().map(|(_, input)| input.len()).sum();
        assert!(
            bytes <= MOST_BYTES,
            "the corpus of {name} has {bytes} bytes; minimise it with fuzz.sh"
        );
    }

    macro_rules! replayed {
        ($($name:ident)*) => {
            $(#[test]
            fn $name() {
                replay(stringify!($name));
            })*

            #[test]
            fn every_target_is_replayed() {
                let names: Vec<&str> = targets().map(|target| target.name).collect();
                assert_eq!(names, [$(stringify!($name)),*]);
            }
        };
    }

    replayed!(message stream opener packets signed core network view recording http settings files keys scenario lab);
}
