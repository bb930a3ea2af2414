//! For which platform and processor libraries must be built, and what this process may trust.

/// A platform and processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As manifests name it: `linux_amd64`, `macos_arm64`, …
    pub key: String,
    /// What file names of libraries may begin with.
    pub prefix: &'static str,
    /// What file names of libraries end with.
    pub suffix: &'static str,
    /// ELF's number of the processor, `EM_…`; `None`: not known, so nothing fits.
    pub machine: Option<u16>,
    /// Whether addresses have 64 bits.
    pub is_64: bool,
    /// Whether numbers begin with their lowest byte.
    pub is_little_endian: bool,
}

impl Target {
    /// Every name that a manifest may use for a platform.
    pub const KEYS: [&'static str; 9] = [
        "linux_amd64",
        "linux_arm64",
        "linux_arm",
        "linux_386",
        "linux_riscv64",
        "macos_amd64",
        "macos_arm64",
        "windows_amd64",
        "windows_arm64",
    ];

    /// Of this process.
    pub fn current() -> Self {
        let processor = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            other => other,
        };
        Self {
            key: format!("{}_{processor}", std::env::consts::OS),
            prefix: std::env::consts::DLL_PREFIX,
            suffix: std::env::consts::DLL_SUFFIX,
            machine: MACHINES.iter().find(|(_, name)| *name == processor).map(|(machine, _)| *machine),
            is_64: cfg!(target_pointer_width = "64"),
            is_little_endian: cfg!(target_endian = "little"),
        }
    }

    /// In words, for messages.
    pub fn describe(&self) -> String {
        describe_architecture(self.machine.unwrap_or(0), self.is_64, self.is_little_endian)
    }
}

/// ELF's numbers of processors, and their names.
const MACHINES: [(u16, &str); 12] = [
    (3, "386"),
    (8, "mips"),
    (20, "ppc"),
    (21, "ppc64"),
    (22, "s390x"),
    (40, "arm"),
    (43, "sparcv9"),
    (62, "amd64"),
    (183, "arm64"),
    (243, "riscv64"),
    (247, "bpf"),
    (258, "loongarch64"),
];

/// A processor in words: name, word size and byte order.
pub(super) fn describe_architecture(machine: u16, is_64: bool, is_little_endian: bool) -> String {
    let name = MACHINES
        .iter()
        .find(|(number, _)| *number == machine)
        .map_or_else(|| format!("processor {machine}"), |(_, name)| (*name).to_owned());
    let bits = if is_64 { 64 } else { 32 };
    let order = if is_little_endian { "little-endian" } else { "big-endian" };
    format!("{name}, {bits}-bit, {order}")
}

/// What an inspection compares with: this machine, this process, this host.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The version that `kuzzleVersion` ranges are compared with.
    pub kuzzle_version: String,
    /// What libraries must be built for.
    pub target: Target,
    /// Who runs this process; `None`: unknown, then ownership is not checked.
    pub process: Option<ProcessOwner>,
}

/// Who runs this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessOwner {
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
    /// Whether it runs in a container.
    pub in_container: bool,
}

impl Default for Surroundings {
    /// Those of this process.
    fn default() -> Self {
        Self {
            kuzzle_version: kuzzle_kernel::KUZZLE_VERSION.to_owned(),
            target: Target::current(),
            process: ProcessOwner::current(),
        }
    }
}

impl ProcessOwner {
    /// Of this process.
    #[cfg(target_os = "linux")]
    pub fn current() -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        // The kernel gives the files of a process to its effective user and group.
        let own = std::fs::metadata("/proc/self").ok()?;
        let marks = ["/.dockerenv", "/run/.containerenv", "/run/systemd/container"];
        let in_container = marks.iter().any(|mark| std::path::Path::new(mark).exists());
        Some(Self { uid: own.uid(), gid: own.gid(), in_container })
    }

    /// Not known here.
    #[cfg(not(target_os = "linux"))]
    pub fn current() -> Option<Self> {
        None
    }
}
