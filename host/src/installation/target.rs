//! For which platform and processor libraries must be built, and what this process may trust.

use std::fmt;

/// A platform and processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As manifests name it: `linux_amd64`, `macos_arm64`, …
    pub key: String,
    /// Of its libraries.
    pub format: Format,
    /// What file names of libraries may begin with.
    pub prefix: &'static str,
    /// What file names of libraries end with.
    pub suffix: &'static str,
    /// What libraries must be built for.
    pub architecture: Architecture,
}

/// How a platform's libraries are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Linux and other Unix systems.
    Elf,
    /// Windows.
    Pe,
    /// macOS.
    MachO,
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
            "powerpc64" => "ppc64",
            other => other,
        };
        Self {
            key: format!("{}_{processor}", std::env::consts::OS),
            format: match std::env::consts::OS {
                "windows" => Format::Pe,
                "macos" => Format::MachO,
                _ => Format::Elf,
            },
            prefix: std::env::consts::DLL_PREFIX,
            suffix: std::env::consts::DLL_SUFFIX,
            architecture: Architecture {
                processor: processor.to_owned(),
                is_64: cfg!(target_pointer_width = "64"),
                is_little_endian: cfg!(target_endian = "little"),
            },
        }
    }

    /// The platform that manifests name so, one of [`Self::KEYS`].
    pub fn of(key: &str) -> Option<Self> {
        let key = Self::KEYS.into_iter().find(|known| *known == key)?;
        let (system, processor) = key.split_once('_')?;
        let (format, prefix, suffix) = match system {
            "windows" => (Format::Pe, "", ".dll"),
            "macos" => (Format::MachO, "lib", ".dylib"),
            _ => (Format::Elf, "lib", ".so"),
        };
        let architecture = Architecture {
            processor: processor.to_owned(),
            is_64: !matches!(processor, "386" | "arm"),
            is_little_endian: true,
        };
        Some(Self { key: key.to_owned(), format, prefix, suffix, architecture })
    }

    /// Whether this process could load libraries for it.
    pub fn is_this_machine(&self) -> bool {
        *self == Self::current()
    }
}

/// A processor with its word size and byte order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Architecture {
    /// As manifests name it: `amd64`, `arm64`, …
    pub processor: String,
    /// Whether addresses have 64 bits.
    pub is_64: bool,
    /// Whether numbers begin with their lowest byte.
    pub is_little_endian: bool,
}

impl Architecture {
    /// By ELF's number of the processor, `EM_…`.
    pub(super) fn of_elf(machine: u16, is_64: bool, is_little_endian: bool) -> Self {
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
        Self { processor: name(&MACHINES, machine), is_64, is_little_endian }
    }

    /// By PE's number of the processor, `IMAGE_FILE_MACHINE_…`.
    pub(super) fn of_pe(machine: u16, is_64: bool) -> Self {
        const MACHINES: [(u16, &str); 6] = [
            (0x14c, "386"),
            (0x1c4, "arm"),
            (0x200, "ia64"),
            (0x8664, "amd64"),
            (0xa641, "arm64ec"),
            (0xaa64, "arm64"),
        ];
        Self { processor: name(&MACHINES, machine), is_64, is_little_endian: true }
    }

    /// By Mach-O's numbers of the processor and its kind, `CPU_TYPE_…` and `CPU_SUBTYPE_…`.
    pub(super) fn of_mach(kind: u32, subkind: u32, is_little_endian: bool) -> Self {
        // Processes of the plain kinds can not load what is for newer kinds only.
        let processor = match (kind, subkind & 0x00ff_ffff) {
            (7, _) => "386".to_owned(),
            (12, _) => "arm".to_owned(),
            (18, _) => "ppc".to_owned(),
            (0x0100_0007, 8) => "amd64h".to_owned(),
            (0x0100_0007, _) => "amd64".to_owned(),
            (0x0100_000c, 0 | 1) => "arm64".to_owned(),
            (0x0100_000c, _) => "arm64e".to_owned(),
            (0x0100_0012, _) => "ppc64".to_owned(),
            (0x0200_000c, _) => "arm64_32".to_owned(),
            _ => format!("processor {kind:#x}"),
        };
        Self { processor, is_64: kind & 0x0100_0000 != 0, is_little_endian }
    }

    /// Bytes of a pointer.
    pub(super) fn pointer_size(&self) -> u16 {
        if self.is_64 { 8 } else { 4 }
    }
}

fn name(machines: &[(u16, &str)], machine: u16) -> String {
    let known = machines.iter().find(|(number, _)| *number == machine);
    known.map_or_else(|| format!("processor {machine}"), |(_, name)| (*name).to_owned())
}

impl fmt::Display for Architecture {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = if self.is_64 { 64 } else { 32 };
        let order = if self.is_little_endian { "little-endian" } else { "big-endian" };
        write!(formatter, "{}, {bits}-bit, {order}", self.processor)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_platform_has_its_names() {
        for key in Target::KEYS {
            let target = Target::of(key).unwrap();
            assert!(key == target.key && key.ends_with(&target.architecture.processor), "{target:?}");
            assert_eq!(target.is_this_machine(), key == Target::current().key);
        }
        for key in ["", "linux", "linux_", "amiga_68k", "LINUX_AMD64", "linux_amd64 "] {
            assert_eq!(Target::of(key), None, "{key}");
        }
        // Where the tests run, it is one that manifests can name.
        assert_eq!(Target::of(&Target::current().key), Some(Target::current()));
    }

    #[test]
    fn processors_have_one_name_in_all_formats() {
        let names = [
            Architecture::of_elf(62, true, true),
            Architecture::of_pe(0x8664, true),
            Architecture::of_mach(0x0100_0007, 3, true),
        ];
        assert!(names.iter().all(|name| *name == Target::of("windows_amd64").unwrap().architecture));
        assert_eq!(Architecture::of_mach(0x0100_000c, 0x8000_0002, true).processor, "arm64e");
        assert_eq!(Architecture::of_pe(7, false).to_string(), "processor 7, 32-bit, little-endian");
    }
}
