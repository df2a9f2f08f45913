use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use anabranch_sync::{Arc, model, thread};
use tempfile::TempDir;

use super::{Cache, UNFINISHED_MAX, digest};

const PARTS: [&str; 2] = ["source", "--option"];

fn cache(folder: &TempDir) -> Cache {
    Cache { folder: Some(folder.path().join("deep").join("cache")) }
}

fn place(cache: &Cache) -> PathBuf {
    cache.folder.as_ref().unwrap().join(digest(&PARTS))
}

/// What it has of the parts; `made` where that is nothing.
fn text(cache: &Cache, parts: &[&str], made: &str) -> String {
    cache.get_or_make(parts, || Ok::<_, ()>(made.to_owned())).unwrap()
}

#[test]
fn what_was_made_once_is_found() {
    let folder = TempDir::new().unwrap();
    let cache = cache(&folder);
    assert_eq!(text(&cache, &PARTS, "first\nline\n"), "first\nline\n");
    assert_eq!(text(&cache, &PARTS, "second"), "first\nline\n");
    // Another process.
    assert_eq!(text(&cache.clone(), &PARTS, "second"), "first\nline\n");
    let names: Vec<_> = fs::read_dir(cache.folder.unwrap()).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[test]
fn every_part_counts_and_where_it_ends() {
    let folder = TempDir::new().unwrap();
    let cache = cache(&folder);
    let others: [&[&str]; 5] =
        [&["source", "--other"], &["Source", "--option"], &["source"], &["source--option"], &[]];
    text(&cache, &PARTS, "first");
    for other in others {
        let made = other.concat();
        assert_eq!(text(&cache, other, &made), made);
    }
}

#[test]
fn what_is_not_made_is_not_kept() {
    let folder = TempDir::new().unwrap();
    let cache = cache(&folder);
    assert_eq!(cache.get_or_make(&PARTS, || Err("refused")), Err("refused"));
    assert_eq!(text(&cache, &PARTS, "made"), "made");
}

#[test]
fn a_damaged_file_is_made_again() {
    let folder = TempDir::new().unwrap();
    let cache = cache(&folder);
    text(&cache, &PARTS, "first\nline\n");
    let place = place(&cache);
    let whole = fs::read(&place).unwrap();
    let mut damaged: Vec<Vec<u8>> = (0..whole.len()).map(|end| whole[..end].to_vec()).collect();
    damaged.extend((0..whole.len()).map(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    }));
    damaged.push([&whole[..], b"\n"].concat());
    damaged.push(vec![0xff; 100]);
    for bytes in damaged {
        fs::write(&place, &bytes).unwrap();
        assert_eq!(text(&cache, &PARTS, "again"), "again", "{}", bytes.escape_ascii());
        assert_eq!(text(&cache, &PARTS, "more"), "again", "what was made again is kept");
    }
}

#[test]
fn a_file_of_something_else_is_not_taken() {
    let folder = TempDir::new().unwrap();
    let cache = cache(&folder);
    text(&cache, &["other"], "foreign");
    let foreign = cache.folder.as_ref().unwrap().join(digest(&["other"]));
    fs::copy(foreign, place(&cache)).unwrap();
    assert_eq!(text(&cache, &PARTS, "own"), "own");
    assert_eq!(text(&cache, &PARTS, "again"), "own");
}

#[test]
fn a_folder_that_cannot_be_written_keeps_nothing_and_refuses_nothing() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let inside_a_file = Cache { folder: Some(file.join("cache")) };
    let none = Cache { folder: None };
    let taken = cache(&folder);
    fs::create_dir_all(place(&taken)).unwrap();
    for cache in [inside_a_file, none, taken] {
        assert_eq!(text(&cache, &PARTS, "first"), "first");
        assert_eq!(text(&cache, &PARTS, "second"), "second");
    }
    let left = fs::read_dir(folder.path().join("deep/cache")).unwrap().count();
    assert_eq!(left, 1, "nothing unfinished stays");
}

#[test]
fn what_a_process_of_the_same_number_left_unfinished_is_in_nobodys_way() {
    let folder = TempDir::new().unwrap();
    let cache = cache(&folder);
    fs::create_dir_all(cache.folder.as_ref().unwrap()).unwrap();
    let unfinished = |number: usize| {
        let name = format!("{}.{}.{number}", digest(&PARTS), std::process::id());
        fs::write(cache.folder.as_ref().unwrap().join(name), "half").unwrap();
    };
    unfinished(0);
    assert_eq!(text(&cache, &PARTS, "first"), "first");
    assert_eq!(text(&cache, &PARTS, "second"), "first");
    (0..UNFINISHED_MAX).for_each(unfinished);
    fs::remove_file(place(&cache)).unwrap();
    assert_eq!(text(&cache, &PARTS, "third"), "third");
    assert_eq!(text(&cache, &PARTS, "fourth"), "fourth");
}

#[test]
fn threads_that_make_the_same_at_once_have_all_of_it() {
    model::check(|| {
        let folder = Arc::new(TempDir::new().unwrap());
        let run = |number: usize| {
            let folder = Arc::clone(&folder);
            // Each has its own text, so that a mixture would be neither.
            let made = format!("{number}\n").repeat(1000);
            move || {
                let cache = cache(&folder);
                for _ in 0..2 {
                    let found = text(&cache, &PARTS, &made);
                    let first = found.lines().next().unwrap();
                    assert_eq!(found, format!("{first}\n").repeat(1000));
                }
            }
        };
        let threads: Vec<_> = (0..3).map(|number| thread::spawn(run(number))).collect();
        for thread in threads {
            thread.join().unwrap();
        }
        let left = fs::read_dir(place(&cache(&folder)).parent().unwrap()).unwrap().count();
        assert_eq!(left, 1, "nothing unfinished stays");
    });
}

#[test]
fn the_folder_is_that_of_the_user() {
    let among = |caches: Option<&str>, home: Option<&str>| {
        Cache::among(caches.map(OsString::from), home.map(OsString::from)).folder
    };
    let folder = |path: &str| Some(PathBuf::from(path));
    assert_eq!(among(Some("/c"), Some("/home/u")), folder("/c/anabranch"));
    assert_eq!(among(None, Some("/home/u")), folder("/home/u/.cache/anabranch"));
    for relative in ["", "c", "./c"] {
        assert_eq!(among(Some(relative), Some("/home/u")), folder("/home/u/.cache/anabranch"));
        assert_eq!(among(Some(relative), Some(relative)), None);
    }
    assert_eq!(among(None, None), None);
}
