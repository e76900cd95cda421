import ChildProcess
import Glibc

/// The folder with PostgreSQL's server programs, which Debian keeps out of `PATH`.
struct PostgresTools: Sendable {
    let folder: String

    /// The newest version in Debian's place, else the one in `PATH`.
    static func find() throws(StackError) -> PostgresTools {
        let debian = "/usr/lib/postgresql"
        let newest = versions(in: debian).max()
        let folder: String
        if let newest {
            folder = "\(debian)/\(newest)/bin"
        } else if let server = ExecutableLookup.find("postgres") {
            folder = FileSystem.parent(of: server)
        } else {
            folder = "\(debian)/*/bin"
        }
        let tools = PostgresTools(folder: folder)
        for program in ["postgres", "initdb", "psql"] where ExecutableLookup.find(tools.path(program)) == nil {
            throw StackError(
                .missingExecutable, server: .postgres,
                "no '\(tools.path(program))'; install it: sudo apt-get install postgresql")
        }
        return tools
    }

    func path(_ program: String) -> String {
        "\(folder)/\(program)"
    }

    private static func versions(in folder: String) -> [Int] {
        guard let stream = opendir(folder) else { return [] }
        defer { closedir(stream) }
        var versions: [Int] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            // A folder without the server belongs to a client package.
            if let version = Int(name), FileSystem.exists("\(folder)/\(name)/bin/postgres") { versions.append(version) }
        }
        return versions
    }
}
