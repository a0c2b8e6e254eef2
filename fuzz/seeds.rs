//! Writes the seeds into `corpus`, where cargo-fuzz looks for them.

use std::path::Path;

fn main() -> std::io::Result<()> {
    for (target, seeds) in kapsel_fuzz::seeds() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        std::fs::create_dir_all(&folder)?;
        for (index, seed) in seeds.iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{index}")), seed)?;
        }
    }
    Ok(())
}
