//! The expressions of rules. Registers are counted in four bytes from 0.

use crate::netlink::Message;

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It passes this hook's chain.
    Accept,
    /// It is lost.
    Drop,
    /// Back to the chain that came here.
    Return,
    /// On to another chain, and back.
    Jump(&'static str),
}

/// One step of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expr {
    /// The name of the link that the packet came by.
    InName(u32),
    /// The name of the link that it goes by.
    OutName(u32),
    /// 2 for IPv4, 10 for IPv6.
    Nfproto(u32),
    /// TCP, UDP, ...
    L4Proto(u32),
    /// Bytes of the network header.
    Network {
        /// From here.
        offset: u32,
        /// So many.
        length: u32,
        /// To there.
        register: u32,
    },
    /// The destination port.
    DestinationPort(u32),
    /// The source port.
    SourcePort(u32),
    /// Writes the register's two bytes to that place of the transport header. The checksum is kept right, where there is one.
    SetTransport {
        /// From here.
        offset: u32,
        /// From there.
        register: u32,
    },
    /// The connection's state bits (2 established, 4 related).
    CtState(u32),
    /// The connection's status bits (0x20 the destination was translated).
    CtStatus(u32),
    /// The kind of the destination address (2 one of this machine).
    DestinationKind(u32),
    /// Some bits of a register.
    Mask(u32, Vec<u8>),
    /// Goes on where the register is this.
    Is(u32, Vec<u8>),
    /// Goes on where it is not.
    IsNot(u32, Vec<u8>),
    /// Goes on where the register is in the set.
    In(&'static str, u32),
    /// Goes on where it is not.
    NotIn(&'static str, u32),
    /// The map's value for one register, to another one.
    Map {
        /// Which map.
        name: &'static str,
        /// Where the key is.
        key: u32,
        /// Where the value goes.
        value: u32,
    },
    /// A constant.
    Load(u32, Vec<u8>),
    /// The packet's mark.
    Mark(u32),
    /// Changes a register: only the bits of the first stay, those of the second are turned over.
    Bits(u32, u32, u32),
    /// Gives the packet the mark that is in the register.
    SetMark(u32),
    /// Translates the destination to the address, and port, in these registers.
    Dnat {
        /// 2 for IPv4, 10 for IPv6.
        family: u8,
        /// Where the address is.
        address: u32,
        /// Where the port is; `None`: the port stays.
        port: Option<u32>,
    },
    /// Redirects to the local port in this register.
    Redirect(u32),
    /// Gives the packet the address of the link that it goes by.
    Masquerade,
    /// The end.
    Do(Verdict),
}

/// A link's name as the kernel compares it.
pub fn name16(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}

/// NFT_REG32_00 and on.
fn reg(register: u32) -> u32 {
    8 + register
}

fn value(message: Message, kind: u16, bytes: &[u8]) -> Message {
    message.nest(kind, |m| m.attr(1, bytes))
}

impl Expr {
    /// Appends it to the list of a rule.
    pub(super) fn encode(&self, message: Message) -> Message {
        let meta = |key: u32, register: u32| ("meta", move |m: Message| m.be32(1, reg(register)).be32(2, key));
        let named = |name: &str, fill: &dyn Fn(Message) -> Message| message.nest(1, |m| m.text(1, name).nest(2, fill));
        let payload = |base: u32, offset: u32, length: u32, register: u32| {
            move |m: Message| m.be32(1, reg(register)).be32(2, base).be32(3, offset).be32(4, length)
        };
        match self {
            Self::InName(register) => {
                let (name, fill) = meta(6, *register);
                named(name, &fill)
            }
            Self::OutName(register) => {
                let (name, fill) = meta(7, *register);
                named(name, &fill)
            }
            Self::Nfproto(register) => {
                let (name, fill) = meta(15, *register);
                named(name, &fill)
            }
            Self::L4Proto(register) => {
                let (name, fill) = meta(16, *register);
                named(name, &fill)
            }
            Self::Network { offset, length, register } => named("payload", &payload(1, *offset, *length, *register)),
            Self::DestinationPort(register) => named("payload", &payload(2, 2, 2, *register)),
            Self::SourcePort(register) => named("payload", &payload(2, 0, 2, *register)),
            // No checksum of its own at a place of ours, but the protocol's: NFT_PAYLOAD_L4CSUM_PSEUDOHDR.
            Self::SetTransport { offset, register } => {
                named("payload", &|m| m.be32(2, 2).be32(3, *offset).be32(4, 2).be32(5, reg(*register)).be32(6, 0).be32(8, 1))
            }
            Self::CtState(register) => named("ct", &|m| m.be32(1, reg(*register)).be32(2, 0)),
            Self::CtStatus(register) => named("ct", &|m| m.be32(1, reg(*register)).be32(2, 2)),
            Self::DestinationKind(register) => named("fib", &|m| m.be32(1, reg(*register)).be32(2, 3).be32(3, 2)),
            Self::Mask(register, mask) => named("bitwise", &|m| {
                let m = m.be32(1, reg(*register)).be32(2, reg(*register)).be32(3, mask.len() as u32);
                value(value(m, 4, mask), 5, &vec![0; mask.len()])
            }),
            Self::Is(register, bytes) => named("cmp", &|m| value(m.be32(1, reg(*register)).be32(2, 0), 3, bytes)),
            Self::IsNot(register, bytes) => named("cmp", &|m| value(m.be32(1, reg(*register)).be32(2, 1), 3, bytes)),
            Self::In(set, register) => named("lookup", &|m| m.text(1, set).be32(2, reg(*register))),
            Self::NotIn(set, register) => named("lookup", &|m| m.text(1, set).be32(2, reg(*register)).be32(5, 1)),
            Self::Map { name, key, value } => named("lookup", &|m| m.text(1, name).be32(2, reg(*key)).be32(3, reg(*value))),
            Self::Load(register, bytes) => named("immediate", &|m| value(m.be32(1, reg(*register)), 2, bytes)),
            Self::Mark(register) => {
                let (name, fill) = meta(3, *register);
                named(name, &fill)
            }
            Self::Bits(register, keep, turn) => named("bitwise", &|m| {
                let m = m.be32(1, reg(*register)).be32(2, reg(*register)).be32(3, 4);
                value(value(m, 4, &keep.to_ne_bytes()), 5, &turn.to_ne_bytes())
            }),
            Self::SetMark(register) => named("meta", &|m| m.be32(2, 3).be32(3, reg(*register))),
            Self::Dnat { family, address, port } => named("nat", &|m| {
                let m = m.be32(1, 1).be32(2, u32::from(*family)).be32(3, reg(*address));
                port.iter().fold(m, |m, port| m.be32(5, reg(*port)).be32(7, 2))
            }),
            Self::Redirect(port) => named("redir", &|m| m.be32(1, reg(*port)).be32(3, 2)),
            Self::Masquerade => named("masq", &|m| m),
            Self::Do(verdict) => named("immediate", &|m| {
                let (code, chain) = match verdict {
                    Verdict::Accept => (1i32, None),
                    Verdict::Drop => (0, None),
                    Verdict::Return => (-5, None),
                    Verdict::Jump(chain) => (-3, Some(*chain)),
                };
                m.be32(1, 0).nest(2, |m| {
                    m.nest(2, |m| {
                        let m = m.attr(1, &code.to_be_bytes());
                        chain.map_or(m.clone(), |chain| m.text(2, chain))
                    })
                })
            }),
        }
    }
}
