use proptest::prelude::*;

use super::*;
use crate::{DType, ErrorKind};

fn limits() -> Limits {
    Limits::default()
}

fn with_header(dictionary: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(dictionary.len()).unwrap().to_le_bytes());
    bytes.extend(dictionary.as_bytes());
    bytes.extend(data);
    bytes
}

fn kind(bytes: &[u8]) -> ErrorKind {
    parse(bytes, &limits()).unwrap_err().kind()
}

#[test]
fn every_type_survives_a_round_trip() {
    for (dtype, descr) in [
        (DType::F32, "<f4"),
        (DType::F64, "<f8"),
        (DType::F16, "<f2"),
        (DType::I64, "<i8"),
        (DType::I32, "<i4"),
        (DType::I16, "<i2"),
        (DType::I8, "i1"),
        (DType::U64, "<u8"),
        (DType::U32, "<u4"),
        (DType::U16, "<u2"),
        (DType::U8, "|u1"),
        (DType::Bool, "|b1"),
    ] {
        let data = vec![1; 6 * dtype.bytes()];
        let tensor = Tensor::from_bytes(dtype, &[2, 3], &data).unwrap();
        let bytes = format(&tensor).unwrap();
        assert_eq!((bytes.len() - data.len()) % 64, 0);
        assert_eq!(parse(&bytes, &limits()).unwrap(), tensor);
        let header = format!("{{\"shape\":(2,3), 'fortran_order':False,'descr':'{descr}'}}");
        assert_eq!(parse(&with_header(&header, &data), &limits()).unwrap(), tensor);
    }
    let bf16 = Tensor::zeros(DType::BF16, &[1]).unwrap();
    assert_eq!(format(&bf16).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn fortran_order_becomes_row_major() {
    let header = "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3)}";
    let tensor = parse(&with_header(header, &[0, 1, 2, 3, 4, 5]), &limits()).unwrap();
    assert_eq!(tensor.as_u8().unwrap(), [0, 2, 4, 1, 3, 5]);
}

#[test]
fn hostile_headers_are_refused() {
    let head = |shape: &str, descr: &str| {
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}")
    };
    assert_eq!(kind(b""), ErrorKind::Malformed);
    assert_eq!(kind(b"\x93NUMPY\x09\x00"), ErrorKind::Unsupported);
    for shape in ["(3,)", "(1,)", "()", "(2", "2", "(-1,)", "(99999999999999999999,)", "(2,,)"] {
        assert_eq!(kind(&with_header(&head(shape, "<f4"), &[0; 8])), ErrorKind::Malformed);
    }
    let overflow = head("(4294967296, 4294967296, 4)", "<f4");
    assert_eq!(kind(&with_header(&overflow, &[0; 8])), ErrorKind::Malformed);
    let huge = head("(4611686018427387904,)", "<f4");
    assert_eq!(kind(&with_header(&huge, &[])), ErrorKind::Malformed);
    for descr in [">f4", "<f16", "|O", "<c8", "|S3", "<f4x", ""] {
        assert_eq!(kind(&with_header(&head("(2,)", descr), &[0; 8])), ErrorKind::Unsupported);
    }
    let deep = head("(1,1,1,1,1,1,1,1,1)", "|u1");
    assert_eq!(kind(&with_header(&deep, &[0])), ErrorKind::LimitExceeded);
    for dictionary in [
        "",
        "{}",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
        "{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'more': 1}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} extra",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}",
        "{'descr: <f4",
    ] {
        assert_eq!(kind(&with_header(dictionary, &[0; 8])), ErrorKind::Malformed, "{dictionary}");
    }
    let mut long = b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec();
    assert_eq!(kind(&long), ErrorKind::Malformed);
    long.truncate(9);
    assert_eq!(kind(&long), ErrorKind::Malformed);
}

#[test]
fn an_empty_array_is_legal() {
    let tensor = Tensor::zeros(DType::F32, &[0, 1, 8, 8]).unwrap();
    assert_eq!(parse(&format(&tensor).unwrap(), &limits()).unwrap(), tensor);
}

#[test]
fn a_file_is_written_whole_or_not_at_all() {
    let folder = std::env::temp_dir().join(format!("anabranch-npy-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("out.npy");
    let tensor = Tensor::from_f32(&[2], vec![1.0, f32::NAN]).unwrap();
    write(&path, &tensor).unwrap();
    write(&path, &tensor).unwrap();
    assert_eq!(read(&path, &limits()).unwrap(), tensor);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);

    let small = Limits { array_bytes_max: 100, ..limits() };
    let error = read(&path, &small).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert_eq!(error.file(), Some(&*path));

    for bad in [folder.join("missing/out.npy"), folder.clone(), PathBuf::from("/")] {
        assert_eq!(write(&bad, &tensor).unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(read(&bad, &limits()).unwrap_err().kind(), ErrorKind::Io);
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    fs::remove_dir_all(&folder).unwrap();
}

proptest! {
    #[test]
    fn random_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), magic: bool) {
        if magic {
            bytes.splice(0..0, *b"\x93NUMPY\x01\x00");
        }
        let _ = parse(&bytes, &limits());
    }

    #[test]
    fn damaged_files_never_panic(at in 0usize..96, bit in 0u8..8, cut in 0usize..97) {
        let tensor = Tensor::from_f32(&[2, 2], vec![1.0; 4]).unwrap();
        let mut bytes = format(&tensor).unwrap();
        bytes[at] ^= 1 << bit;
        let _ = parse(&bytes, &limits());
        bytes[at] ^= 1 << bit;
        bytes.truncate(cut);
        prop_assert!(parse(&bytes, &limits()).is_err());
    }
}
