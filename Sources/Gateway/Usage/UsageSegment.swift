import Glibc

/// A file of slots, mapped into memory.
final class UsageSegment: @unchecked Sendable {
    // Proof: nothing here changes after the initialiser; the slots' memory has rules of its own (see `UsageSlot`).

    let path: String
    let slots: Int
    let base: UnsafeMutableRawPointer

    /// Maps a file, made with its whole size if it is not there.
    /// - Parameters:
    ///   - slots: of a new file; the size of one that exists tells how many it has.
    init(path: String, slots: Int) throws(UsageJournalError) {
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw UsageJournalError("open", path) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw UsageJournalError("read", path) }
        var size = Int(status.st_size)
        if size == 0 {
            size = (slots + 1) * UsageSlot.size
            // Blocks and not a hole: a store into a hole of a full disk would end the process.
            let result = posix_fallocate(descriptor, 0, off_t(size))
            guard result == 0 else {
                unlink(path)
                errno = result
                throw UsageJournalError("make room for", path)
            }
        }
        let mapped = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
        guard let mapped, mapped != MAP_FAILED else { throw UsageJournalError("map", path) }
        self.path = path
        self.slots = max(0, size / UsageSlot.size - 1)
        base = mapped
    }

    deinit {
        munmap(base, (slots + 1) * UsageSlot.size)
    }

    subscript(index: Int) -> UsageSlot { UsageSlot(self, index: index) }

    /// The first 64 bytes belong to the whole journal, in its first file.
    func word(_ index: Int) -> Int64 { base.load(fromByteOffset: index * 8, as: Int64.self) }

    func setWord(_ index: Int, _ value: Int64) {
        base.storeBytes(of: value, toByteOffset: index * 8, as: Int64.self)
    }
}

/// Why a journal cannot be used.
struct UsageJournalError: Error, CustomStringConvertible {
    let description: String

    /// - Parameter action: what failed, with the reason in `errno`.
    init(_ action: String, _ path: String) {
        description = "cannot \(action) '\(path)' of the usage journal: \(String(cString: strerror(errno)))"
    }
}
