//! Every mistake of a caller is found before anything changes.

use anabranch_hal::kernel::{Binary, BinaryFunction, Function, Kernel, Unary};
use anabranch_sync::Arc;
use anabranch_sync::model::check_once;

use crate::tests::{contents, cpu_device, host_buffer, kind, null_device};
use crate::{Command, ErrorKind, View};

fn unary(count: usize) -> Arc<Kernel> {
    Arc::new(Kernel::Unary(Unary { function: Function::Neg, count }))
}

fn add(shape: &[usize], a_strides: &[usize], b_strides: &[usize]) -> Arc<Kernel> {
    Arc::new(Kernel::Binary(Binary {
        function: BinaryFunction::Add,
        activation: Function::Identity,
        shape: shape.to_vec(),
        a_strides: a_strides.to_vec(),
        b_strides: b_strides.to_vec(),
    }))
}

#[test]
fn er_6_mistakes_are_refused_and_change_nothing() {
    check_once(|| {
        let device = null_device();
        let stream = device.default_stream();
        let (a, b) = (host_buffer(&device, &[1; 256]), host_buffer(&device, &[2; 256]));
        let part = |offset, bytes| a.slice(offset, bytes).unwrap();
        let kernel = |kernel: &Arc<Kernel>, operands: Vec<View>| {
            Command::kernel(Arc::clone(kernel), operands)
        };
        let (neg, sum) = (unary(16), add(&[16], &[1], &[1]));
        for (why, command) in [
            ("sizes differ", Command::copy(part(0, 8), part(64, 9))),
            ("copies overlap", Command::copy(part(0, 64), part(63, 64))),
            ("a copy onto itself", Command::copy(a.view(), a.view())),
            ("too few operands", kernel(&neg, vec![a.view()])),
            ("too many operands", kernel(&neg, vec![a.view(), b.view(), b.view()])),
            ("an operand is too small", kernel(&neg, vec![a.view(), part(0, 63)])),
            ("an operand is misaligned", kernel(&neg, vec![part(4, 64), b.view()])),
            ("overlaps without being equal", kernel(&neg, vec![part(0, 128), part(64, 128)])),
            ("not an input of its own", kernel(&sum, vec![part(0, 128), b.view(), part(64, 128)])),
        ] {
            assert_eq!(kind(stream.submit(command)), ErrorKind::InvalidArgument, "{why}");
        }
        assert!(stream.query().unwrap(), "ER-6: nothing was issued");
        a.write(0, &[3; 256]).expect("ER-6: no use was recorded");
    });
}

#[test]
fn a_broadcast_operand_is_not_written_in_place() {
    check_once(|| {
        let device = null_device();
        let stream = device.default_stream();
        let (a, b) = (host_buffer(&device, &[0; 64]), host_buffer(&device, &[0; 64]));
        let row = add(&[4, 4], &[0, 1], &[4, 1]);
        let over = |y: View| Command::kernel(Arc::clone(&row), vec![a.view(), b.view(), y]);
        assert_eq!(kind(stream.submit(over(a.view()))), ErrorKind::InvalidArgument);
        stream.submit(over(b.view())).unwrap();
        let both = Command::kernel(add(&[16], &[1], &[1]), vec![a.view(), a.view(), a.view()]);
        stream.submit(both).unwrap();
    });
}

#[test]
fn commands_do_what_they_say() {
    check_once(|| {
        let device = cpu_device(1);
        let stream = device.default_stream();
        let numbers: Vec<u8> = (0..16).flat_map(|n| (n as f32).to_le_bytes()).collect();
        let (a, b) = (host_buffer(&device, &numbers), host_buffer(&device, &[0; 64]));
        stream.submit(Command::kernel(unary(16), vec![a.view(), b.view()])).unwrap();
        let sum = vec![a.view(), b.view(), b.view()];
        stream.submit(Command::kernel(add(&[16], &[1], &[1]), sum)).unwrap();
        let (head, tail) = (a.slice(0, 3).unwrap(), a.slice(61, 3).unwrap());
        stream.submit(Command::copy(tail, head)).unwrap();
        stream.submit(Command::fill(a.slice(61, 3).unwrap(), 7)).unwrap();
        stream.synchronize(&crate::Deadline::NEVER).unwrap();
        assert_eq!(contents(&b), [0; 64], "x - x is 0");
        let mut expected = numbers.clone();
        expected.copy_within(61..64, 0);
        expected[61..].fill(7);
        assert_eq!(contents(&a), expected);
        device.shutdown(&crate::Deadline::NEVER).unwrap();
    });
}

#[test]
fn names_are_for_people() {
    check_once(|| {
        let device = null_device();
        let view = device.allocate_host(64).unwrap().view();
        assert_eq!(Command::fill(view.clone(), 0).name(), "fill");
        assert_eq!(Command::copy(view.clone(), view.clone()).name(), "copy");
        assert!(!Command::kernel(unary(1), vec![view]).name().is_empty());
    });
}
