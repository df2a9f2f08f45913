use std::ptr::NonNull;

use anabranch_sync::{Arc, model, thread};

use super::Gang;
use crate::command::Operation;
use crate::cpu::execute::{Step, TILE_BYTES};
use crate::cpu::kernels::{Kernels, RawOperand, Scratch};

fn member(gang: &Arc<Gang>) -> thread::JoinHandle<()> {
    let gang = Arc::clone(gang);
    gang.invite(1);
    thread::spawn(move || gang.assist(&mut Scratch::new(1, 2), || false))
}

#[test]
fn model_member_and_runner_share_the_tiles_of_two_steps() {
    model::check(|| {
        let gang = Gang::new();
        let member = member(&gang);
        let tiles = model::bound(3, 5, 6);
        let mut memory = vec![0_u8; tiles * TILE_BYTES];
        let mut scratch = Scratch::new(0, 2);
        for byte in 1..=2 {
            let operation = Operation::Fill(byte);
            let address = NonNull::from(&mut memory[0]);
            let operands = [RawOperand { address, bytes: tiles * TILE_BYTES }];
            let number = scratch.number();
            let step = Step::new(Kernels::default(), &operation, &operands, number).unwrap();
            gang.run(step, &mut scratch).unwrap();
            assert!(memory.iter().all(|found| *found == byte));
        }
        gang.close();
        member.join().unwrap();
        assert_eq!(gang.seats(), 0);
    });
}
