/// Passwords and keys: made once, each in a file of mode 0600 in a folder of mode 0700.
struct SecretStore: Sendable {
    let folder: String

    init(folder: String) throws(StackError) {
        self.folder = folder
        try FileSystem.makeFolder(folder, mode: 0o700)
    }

    func path(_ name: String) -> String {
        "\(folder)/\(name)"
    }

    /// The secret of this name, made on first use: letters and digits, about 5.95 bits each, from the
    /// system's random generator. URL- and configuration-safe by its alphabet.
    func secret(_ name: String, length: Int = 32) throws(StackError) -> String {
        if let text = try FileSystem.read(path(name)), !text.isEmpty {
            return text
        }
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
        var generator = SystemRandomNumberGenerator()
        let secret = String((0..<length).map { _ in alphabet[Int.random(in: 0..<alphabet.count, using: &generator)] })
        try FileSystem.write(secret, to: path(name))
        return secret
    }
}
