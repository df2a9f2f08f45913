use super::*;
use crate::ErrorKind;

#[test]
fn rows_share_and_concat_joins() {
    let tensor = Tensor::from_f32(&[3, 2], (0..6u8).map(f32::from).collect()).unwrap();
    let first = tensor.rows(0..1).unwrap();
    let rest = tensor.rows(1..3).unwrap();
    assert_eq!(rest.as_f32().unwrap(), [2.0, 3.0, 4.0, 5.0]);
    assert_eq!(rest.rows(1..2).unwrap().as_f32().unwrap(), [4.0, 5.0]);
    assert_eq!(Tensor::concat(&[first, rest]).unwrap(), tensor);
    let none = tensor.rows(3..3).unwrap();
    assert_eq!((none.count(), none.shape()), (0, &[0, 2][..]));
    assert_eq!(none.as_f32(), Some(&[][..]));
}

#[test]
fn bytes_of_every_alignment_have_typed_views() {
    let tensor = Tensor::from_i8(&[5, 3], (0..15).collect()).unwrap();
    assert_eq!(tensor.rows(1..2).unwrap().as_i8(), Some(&[3, 4, 5][..]));
    let wide = Tensor::from_i64(&[2, 1], vec![7, -8]).unwrap();
    assert_eq!(wide.rows(1..2).unwrap().as_i64(), Some(&[-8][..]));
    assert_eq!(wide.as_f32(), None);
}

#[test]
fn what_does_not_fit_is_refused() {
    let invalid = |result: Result<Tensor, Error>| result.unwrap_err().kind();
    assert_eq!(invalid(Tensor::from_f32(&[2, 2], vec![0.0; 3])), ErrorKind::InvalidInput);
    assert_eq!(invalid(Tensor::zeros(DType::F32, &[usize::MAX, 2])), ErrorKind::InvalidInput);
    assert_eq!(invalid(Tensor::zeros(DType::F64, &[usize::MAX / 8])), ErrorKind::InvalidInput);
    let tensor = Tensor::zeros(DType::F32, &[2]).unwrap();
    assert_eq!(invalid(tensor.rows(1..3)), ErrorKind::InvalidInput);
    #[expect(clippy::reversed_empty_ranges, reason = "that is the mistake")]
    let reversed = tensor.rows(2..1);
    assert_eq!(invalid(reversed), ErrorKind::InvalidInput);
    assert_eq!(invalid(tensor.reshaped(&[3])), ErrorKind::InvalidInput);
    assert_eq!(invalid(Tensor::concat(&[])), ErrorKind::InvalidInput);
    let scalar = Tensor::zeros(DType::F32, &[]).unwrap();
    assert_eq!(invalid(scalar.rows(0..0)), ErrorKind::InvalidInput);
    assert_eq!(invalid(Tensor::concat(&[scalar])), ErrorKind::InvalidInput);
}

#[test]
fn numbers_convert_to_every_type_and_back() {
    let types = [
        DType::F32,
        DType::F16,
        DType::BF16,
        DType::F64,
        DType::I64,
        DType::I32,
        DType::I16,
        DType::I8,
        DType::U64,
        DType::U32,
        DType::U16,
        DType::U8,
    ];
    for dtype in types {
        let numbers = Numbers::Integers(vec![0, 1, 100]);
        let tensor = Tensor::from_numbers(dtype, &[3], &numbers).unwrap();
        assert_eq!(tensor.to_f64(), [0.0, 1.0, 100.0], "{dtype}");
        let floats = Numbers::Floats(vec![0.0, 1.0, 100.0]);
        assert_eq!(Tensor::from_numbers(dtype, &[3], &floats).unwrap(), tensor, "{dtype}");
    }
    let huge = Numbers::Floats(vec![1e30, -1e30, f64::NAN]);
    let bytes = Tensor::from_numbers(DType::I8, &[3], &huge).unwrap();
    assert_eq!(bytes.as_i8().unwrap(), [127, -128, 0]);
    let flags = Tensor::from_bytes(DType::Bool, &[2], &[0, 7]).unwrap();
    assert_eq!(flags.as_bytes(), [0, 1]);
}
