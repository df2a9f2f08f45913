//! Prints the register into the ledger: `cargo xtask ledger`.

use std::path::Path;
use std::{fs, io};

use verify::register::{LEDGER, Tree, properties, rewritten, table};

fn main() -> io::Result<()> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package.parent().expect("the package lies in a folder of the workspace");
    let ledger = root.join(LEDGER);
    let printed = table(&properties(), &Tree::load(root)?);
    let document = rewritten(&fs::read_to_string(&ledger)?, &printed);
    let document = document.ok_or_else(|| io::Error::other("the marks of the table are gone"))?;
    fs::write(ledger, document)
}
