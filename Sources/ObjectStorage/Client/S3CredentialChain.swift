#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Where credentials come from, first hit wins: given explicitly, then the environment.
///
/// In the environment `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` (with `AWS_SESSION_TOKEN` for
/// temporary ones) are read, each also as `…_FILE`, the path of a file that holds the value.
/// Web identity and instance metadata are not asked.
package enum S3CredentialChain {
    /// A secret file larger than this is not a secret file.
    private static let largestSecret = 64 * 1024

    /// - Throws: `S3Error` with code `.credentials`, naming the variable that is missing, set twice or
    ///   whose file cannot be read.
    package static func resolve(
        explicit: S3Credentials? = nil, environment: [String: String] = processEnvironment()
    ) throws -> S3Credentials {
        if let explicit {
            guard !explicit.accessKeyID.isEmpty, !explicit.secretAccessKey.isEmpty else {
                throw S3Error(
                    code: .credentials, message: "the configured S3 access key or secret is empty; set both")
            }
            return explicit
        }
        let id = try value(of: "AWS_ACCESS_KEY_ID", in: environment)
        let secret = try value(of: "AWS_SECRET_ACCESS_KEY", in: environment)
        switch (id, secret) {
        case (let id?, let secret?):
            return S3Credentials(
                accessKeyID: id, secretAccessKey: secret,
                sessionToken: try value(of: "AWS_SESSION_TOKEN", in: environment))
        case (nil, nil):
            throw S3Error(
                code: .credentials,
                message: "no S3 credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
                    + "(or AWS_ACCESS_KEY_ID_FILE and AWS_SECRET_ACCESS_KEY_FILE), or configure them")
        case (nil, _?):
            throw S3Error(
                code: .credentials, message: "AWS_SECRET_ACCESS_KEY is set but AWS_ACCESS_KEY_ID is not; set both")
        case (_?, nil):
            throw S3Error(
                code: .credentials, message: "AWS_ACCESS_KEY_ID is set but AWS_SECRET_ACCESS_KEY is not; set both")
        }
    }

    package static func processEnvironment() -> [String: String] {
        let names = [
            "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
        ].flatMap { [$0, "\($0)_FILE"] }
        var found: [String: String] = [:]
        for name in names {
            if let value = getenv(name) { found[name] = String(cString: value) }
        }
        return found
    }

    private static func value(of name: String, in environment: [String: String]) throws -> String? {
        let direct = environment[name].flatMap { $0.isEmpty ? nil : $0 }
        guard let path = environment["\(name)_FILE"], !path.isEmpty else { return direct }
        guard direct == nil else {
            throw S3Error(code: .credentials, message: "both \(name) and \(name)_FILE are set; keep one")
        }
        let bytes: [UInt8]
        do {
            let file = try InputFile(path: path)
            guard file.size <= largestSecret else {
                throw S3Error(
                    code: .credentials, message: "\(name)_FILE names \(path), which holds \(file.size) bytes: not a key"
                )
            }
            bytes = try file.read(offset: 0, count: Int(file.size))
        } catch let error as FileError {
            throw S3Error(code: .credentials, message: "\(name)_FILE: \(error)", cause: error)
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw S3Error(code: .credentials, message: "\(name)_FILE names \(path), which is not UTF-8 text")
        }
        // Editors and `echo` leave a line break behind; no key holds one.
        let trimmed = text.split(whereSeparator: \.isNewline).first.map(String.init) ?? ""
        guard !trimmed.isEmpty else {
            throw S3Error(code: .credentials, message: "\(name)_FILE names \(path), which is empty")
        }
        return trimmed
    }
}
