use anabranch_sync::model;

use super::{Options, list, names, open};
use crate::device::Libraries;
use crate::error::ErrorKind;
use crate::kernel::{Conv2d, Kernel};

#[test]
fn every_listed_device_opens_by_its_name() {
    model::check(|| {
        let options = Options {
            workers: Some(1),
            memory_bytes: Some(4096),
            exact: true,
            ..Options::default()
        };
        for info in list() {
            let kind = info.name.trim_end_matches(":0");
            for name in [info.name.as_str(), kind] {
                let device = open(name, &options).unwrap();
                assert_eq!(device.info().name, info.name);
                assert_eq!(device.info().memory_bytes, 4096);
                device.shutdown();
            }
        }
    });
}

#[test]
fn a_list_names_each_device_once() {
    assert_eq!(names("cuda:1,cuda:0,cpu").unwrap(), ["cuda:1", "cuda:0", "cpu"]);
    for (wrong, words) in [
        ("cpu,cpu:0", "`cpu:0` is there twice in `cpu,cpu:0`"),
        ("cuda:1,sim,cuda:1", "`cuda:1` is there twice"),
        ("", "a name is missing"),
        ("cpu:0,", "a name is missing"),
    ] {
        let error = names(wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSuchDevice);
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn an_exact_processor_packs_nothing_but_the_weight() {
    model::check(|| {
        let conv = Kernel::Conv2d(Conv2d { packed: true, ..Conv2d::plain(1, [32; 2], [8; 2]) });
        let packed_bytes = |exact: bool| {
            let device = open("cpu", &Options { exact, ..Options::default() }).unwrap();
            let bytes = device.packed_bytes(&conv).unwrap();
            device.shutdown();
            bytes
        };
        let weight_bytes = 32 * 32 * 9 * 4;
        assert_eq!(packed_bytes(true), weight_bytes);
        assert!(packed_bytes(false) > weight_bytes);
    });
}

#[test]
fn a_device_without_libraries_cannot_always_use_them() {
    model::check(|| {
        for name in ["cpu", "null:0", "sim"] {
            let options = |libraries| Options {
                libraries,
                workers: Some(1),
                memory_bytes: Some(4096),
                ..Options::default()
            };
            open(name, &options(Libraries::Found)).unwrap().shutdown();
            let error = open(name, &options(Libraries::Always)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            assert!(error.to_string().contains(name), "{error}");
        }
    });
}

#[test]
fn unknown_names_say_what_there_is() {
    model::check(|| {
        for name in [
            "", ":", "cpu:", "cpu:1", "cpu:00", "CPU", "cuda:99", "cuda:x", "cuda:00", "null:x",
            "cpu:0:0",
        ] {
            let error = open(name, &Options::default()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NoSuchDevice);
            let message = error.to_string();
            assert!(message.contains(&format!("`{name}`")), "{message}");
            let known: Vec<_> = list().into_iter().map(|info| info.name).collect();
            assert!(message.ends_with(&known.join(", ")), "{message}");
        }
    });
}
