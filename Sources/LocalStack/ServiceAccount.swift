import ChildProcess
import Glibc

/// The user a server runs as: PostgreSQL refuses to be root's, so root lends it another one.
struct ServiceAccount: Sendable {
    let user: String?
    let uid: uid_t
    let gid: gid_t

    /// How the folders begin that hold data of stacks which the server's user cannot reach.
    static let elsewhere = "/var/tmp/martlet-"

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

    /// Where a folder of this user's lies, and makes it; only this user can enter it.
    ///
    /// Another user's server must be able to pass through every parent. Where it cannot (a folder below
    /// /root, say) the data lives in a folder of `/var/tmp`, and a symbolic link at `path` says which. The link is
    /// all that ties the two: a stack that is made anew at the same path has none, and gets data of its own.
    /// - Returns: the path to use.
    func makePrivateFolder(_ path: String) throws(StackError) -> String {
        let parent = FileSystem.parent(of: path)
        try FileSystem.makeFolder(parent)
        if let target = FileSystem.link(at: path), target.hasPrefix(Self.elsewhere) {
            try checkOwner(of: FileSystem.parent(of: target))
            return try claim(target)
        }
        if canReach(parent) { return try claim(path) }
        guard !FileSystem.exists(path) else {
            throw StackError(
                .dataFolder, server: .postgres,
                "user '\(user ?? "")' cannot reach '\(path)': let it pass through the folders above (chmod o+x)")
        }
        return try claim(try makeElsewhere(for: path))
    }

    /// Makes a folder, unless it exists, and gives it to this user alone.
    func claim(_ folder: String) throws(StackError) -> String {
        try FileSystem.makeFolder(folder, mode: 0o700)
        guard chown(folder, uid, gid) == 0 else { throw FileSystem.failure("give the server the folder", folder) }
        return folder
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

    /// A new place in `/var/tmp`, with a link to it at `path`.
    private func makeElsewhere(for path: String) throws(StackError) -> String {
        let base = Self.elsewhere + String(UInt64.random(in: .min ... .max), radix: 36)
        guard mkdir(base, 0o711) == 0 else { throw FileSystem.failure("make the folder", base) }
        // The umask may have taken bits away that the server's user needs.
        chmod(base, 0o711)
        let place = "\(base)/data"
        guard symlink(place, path) == 0 else {
            let failure = FileSystem.failure("link the data folder at", path)
            rmdir(base)
            throw failure
        }
        return place
    }

    /// Anyone may make folders in `/var/tmp`: one that is not ours could be read or replaced by its owner.
    private func checkOwner(of base: String) throws(StackError) {
        try FileSystem.makeFolder(base, mode: 0o711)
        var status = stat()
        guard lstat(base, &status) == 0, status.st_mode & S_IFMT == S_IFDIR, status.st_uid == geteuid() else {
            throw StackError(.dataFolder, server: .postgres, "'\(base)' belongs to somebody else; remove it")
        }
    }
}
