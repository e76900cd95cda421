extension LocalStack {
    /// Creates a database in the running PostgreSQL; one that exists is fine.
    /// - Parameter name: lower-case letters, digits and underscores, at most 63.
    /// - Returns: its URL, with user and password.
    package func createDatabase(_ name: String) async throws -> String {
        let isPlain = name.utf8.allSatisfy { byte in
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                || byte == UInt8(ascii: "_")
        }
        guard isPlain, (1...63).contains(name.utf8.count) else {
            throw StackError(
                .preparationFailed, server: .postgres,
                "'\(name.prefix(80))' is no database name: use lower-case letters, digits and underscores")
        }
        let site = site()
        try await PostgresRecipe.createDatabase(name, site: site)
        let password = try site.secrets.secret("postgresql")
        return "postgresql://\(StackSite.user):\(password)@127.0.0.1:\(site.ports["postgresql"])/\(name)"
    }
}
