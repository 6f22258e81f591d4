//! The program of the embedded image: a static ELF executable of a few hundred bytes, put together here from its instructions, so
//! that the engine carries neither a compiler nor a binary of unknown origin. It writes a greeting and exits with 0.

const LOAD_ADDRESS: u64 = 0x40_0000;
const EHDR: usize = 64;
const PHDR: usize = 56;

/// What a person reads after the first command.
pub(crate) const GREETING: &str = "
Hello from dhow! Your engine works.

What happened just now:
 1. The command line asked the daemon for a container, and the daemon was started if none was running.
 2. The daemon had no image of the name `hello`, so it took the one that is built into the program.
 3. A shim made the container: its own processes, mounts, network and limits.
 4. The program in the container wrote this text, which came to you over the shim.

Next, bring an image of your own and look around in it:
    dhow load -i busybox.tar
    dhow run -it --rm busybox sh

";

/// The executable for an architecture in image terms; `None` where there is no code for it.
pub(crate) fn program(architecture: &str) -> Option<Vec<u8>> {
    let (machine, code): (u16, fn(u64, u32) -> Vec<u8>) = match architecture {
        "amd64" => (62, x86_64),
        "arm64" => (183, aarch64),
        _ => return None,
    };
    // The code's length does not depend on its operands.
    let length = code(0, 0).len();
    let entry = LOAD_ADDRESS + (EHDR + PHDR) as u64;
    let body = code(entry + length as u64, GREETING.len() as u32);
    let total = (EHDR + PHDR + length + GREETING.len()) as u64;
    let mut elf = header(machine, entry);
    elf.extend(segment(total));
    elf.extend(body);
    elf.extend(GREETING.as_bytes());
    Some(elf)
}

/// ELF64 header: little endian, System V, executable, one program header and no sections.
fn header(machine: u16, entry: u64) -> Vec<u8> {
    let mut h = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    h.extend(2u16.to_le_bytes());
    h.extend(machine.to_le_bytes());
    h.extend(1u32.to_le_bytes());
    h.extend(entry.to_le_bytes());
    h.extend((EHDR as u64).to_le_bytes());
    h.extend(0u64.to_le_bytes());
    h.extend(0u32.to_le_bytes());
    for half in [EHDR as u16, PHDR as u16, 1, 0, 0, 0] {
        h.extend(half.to_le_bytes());
    }
    h
}

/// One loadable segment, readable and executable: the whole file.
fn segment(size: u64) -> Vec<u8> {
    let mut p = Vec::with_capacity(PHDR);
    p.extend(1u32.to_le_bytes());
    p.extend(5u32.to_le_bytes());
    for word in [0, LOAD_ADDRESS, LOAD_ADDRESS, size, size, 0x1000] {
        p.extend(u64::to_le_bytes(word));
    }
    p
}

/// write(1, text, length); exit(0). All addresses are below 4 GiB, so 32-bit moves do.
fn x86_64(text: u64, length: u32) -> Vec<u8> {
    let mut c = Vec::new();
    c.extend([0xb8, 1, 0, 0, 0]); // mov eax, 1 (write)
    c.extend([0xbf, 1, 0, 0, 0]); // mov edi, 1
    c.push(0xbe); // mov esi, text
    c.extend((text as u32).to_le_bytes());
    c.push(0xba); // mov edx, length
    c.extend(length.to_le_bytes());
    c.extend([0x0f, 0x05]); // syscall
    c.extend([0xb8, 60, 0, 0, 0]); // mov eax, 60 (exit)
    c.extend([0x31, 0xff]); // xor edi, edi
    c.extend([0x0f, 0x05]); // syscall
    c
}

/// The same for aarch64: movz and movk build the operands, x8 carries the call's number.
fn aarch64(text: u64, length: u32) -> Vec<u8> {
    let movz = |reg: u32, value: u32| 0xd280_0000 | (value << 5) | reg;
    let movk16 = |reg: u32, value: u32| 0xf2a0_0000 | (value << 5) | reg;
    let svc = 0xd400_0001u32;
    let text = text as u32;
    let words = [
        movz(8, 64),
        movz(0, 1),
        movz(1, text & 0xffff),
        movk16(1, text >> 16),
        movz(2, length & 0xffff),
        movk16(2, length >> 16),
        svc,
        movz(8, 93),
        movz(0, 0),
        svc,
    ];
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_program_of_this_machine_greets() {
        let Some(elf) = program(crate::model::host_architecture()) else { return };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hello");
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(&elf).unwrap();
        file.set_permissions(std::fs::Permissions::from_mode(0o755)).unwrap();
        drop(file);
        let output = loop {
            // Another test may fork while the file is open for writing here: ETXTBSY passes.
            match std::process::Command::new(&path).output() {
                Err(e) if e.raw_os_error() == Some(26) => {}
                other => break other.unwrap(),
            }
        };
        assert!(output.status.success());
        assert_eq!(String::from_utf8(output.stdout).unwrap(), GREETING);
    }

    #[test]
    fn both_architectures_have_a_program_of_under_two_kilobytes() {
        for architecture in ["amd64", "arm64"] {
            assert!(program(architecture).unwrap().len() < 2048);
        }
        assert!(program("s390x").is_none());
    }
}
