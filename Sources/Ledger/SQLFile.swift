/// A file of SQL statements, each under a line `-- name: …`.
struct SQLFile: Sendable {
    private let statements: [String: String]

    /// - Parameter bytes: the file's UTF-8 text, as the package embeds it.
    init(_ bytes: [UInt8]) {
        var statements: [String: String] = [:]
        var name: String?
        var lines: [Substring] = []
        func close() {
            guard let name else { return }
            statements[name] = lines.joined(separator: "\n")
        }
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
            if line.hasPrefix("-- name:") {
                close()
                name = line.dropFirst(8).trimmingSpaces()
                lines = []
            } else if !line.hasPrefix("--") {
                lines.append(line)
            }
        }
        close()
        self.statements = statements
    }

    /// The statement of that name. A name that the file lacks is a defect of this target, found by its tests.
    subscript(name: String) -> String {
        guard let statement = statements[name] else {
            preconditionFailure("no statement named \(name); there are \(statements.keys.sorted())")
        }
        return statement
    }
}

extension Substring {
    fileprivate func trimmingSpaces() -> String {
        String(drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }
}

/// The statements of this target, by file.
enum SQL {
    static let migrations = SQLFile(PackageResources.migrations_sql)
    static let accept = SQLFile(PackageResources.accept_sql)
    static let dispatch = SQLFile(PackageResources.dispatch_sql)
    static let results = SQLFile(PackageResources.results_sql)
    static let reconcile = SQLFile(PackageResources.reconcile_sql)
    static let effects = SQLFile(PackageResources.effects_sql)
    static let operate = SQLFile(PackageResources.operate_sql)
    static let serving = SQLFile(PackageResources.serving_sql)
    static let rollouts = SQLFile(PackageResources.rollouts_sql)
    static let batches = SQLFile(PackageResources.batches_sql)
}
