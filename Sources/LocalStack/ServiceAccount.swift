import ChildProcess
import Glibc

/// The user a server runs as: PostgreSQL refuses to be root's, so root lends it another one.
struct ServiceAccount: Sendable {
    let user: String?
    let uid: uid_t
    let gid: gid_t

    /// This process's own user, or `postgres`, else `nobody`, when that is root.
    static func forPostgres() throws(StackError) -> ServiceAccount {
        guard geteuid() == 0 else { return ServiceAccount(user: nil, uid: geteuid(), gid: getegid()) }
        for name in ["postgres", "nobody"] {
            if let entry = getpwnam(name) {
                return ServiceAccount(user: name, uid: entry.pointee.pw_uid, gid: entry.pointee.pw_gid)
            }
        }
        throw StackError(
            .preparationFailed, server: .postgres,
            "PostgreSQL refuses to run as root and there is no user 'postgres' or 'nobody'; run as another user")
    }

    /// The command that runs a program as this user, in the same process.
    func command(
        _ executable: String, _ arguments: [String]
    ) throws(StackError) -> (executable: String, arguments: [String]) {
        guard let user else { return (executable, arguments) }
        let setpriv = try StackSite.find("setpriv", package: "util-linux", for: .postgres)
        return (setpriv, ["--reuid=\(user)", "--regid=\(gid)", "--clear-groups", "--", executable] + arguments)
    }

    /// Makes a folder that only this user can enter.
    ///
    /// Another user's server must be able to pass through every parent. Where it cannot (a folder below
    /// /root, say) the data lives in `/var/tmp/martlet-HASH` and a symbolic link says so.
    /// - Returns: the path to use.
    func makePrivateFolder(_ path: String) throws(StackError) -> String {
        let parent = FileSystem.parent(of: path)
        try FileSystem.makeFolder(parent)
        let place = canReach(parent) ? path : try fallback(for: path)
        try FileSystem.makeFolder(place, mode: 0o700)
        guard chown(place, uid, gid) == 0 else { throw FileSystem.failure("give the server the folder", place) }
        return place
    }

    /// Writes a file that only this user can read.
    func writeFile(_ text: String, to path: String) throws(StackError) {
        try FileSystem.write(text, to: path)
        guard chown(path, uid, gid) == 0 else { throw FileSystem.failure("give the server the file", path) }
    }

    private func canReach(_ folder: String) -> Bool {
        guard user != nil else { return true }
        var current = folder
        while true {
            var status = stat()
            guard stat(current, &status) == 0 else { return false }
            let bit: mode_t = status.st_uid == uid ? 0o100 : status.st_gid == gid ? 0o010 : 0o001
            guard status.st_mode & bit != 0 else { return false }
            if current == "/" { return true }
            current = FileSystem.parent(of: current)
        }
    }

    private func fallback(for path: String) throws(StackError) -> String {
        let base = Self.fallbackFolder(for: path)
        try FileSystem.makeFolder(base, mode: 0o711)
        // Anyone may make folders in /var/tmp: one that is not ours could be read or replaced by its owner.
        var status = stat()
        guard lstat(base, &status) == 0, status.st_mode & S_IFMT == S_IFDIR, status.st_uid == geteuid() else {
            throw StackError(.dataFolder, server: .postgres, "'\(base)' belongs to somebody else; remove it")
        }
        let place = "\(base)/data"
        if symlink(place, path) != 0, errno != EEXIST {
            throw FileSystem.failure("link the data folder at", path)
        }
        return place
    }

    /// Where the data of `path` lives when the server's user cannot reach it.
    static func fallbackFolder(for path: String) -> String {
        // FNV-1a, 64 bits: a name that is the same in every invocation, not a secret.
        let hash = path.utf8.reduce(UInt64(0xcbf2_9ce4_8422_2325)) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        return "/var/tmp/martlet-\(String(hash, radix: 16))"
    }
}
