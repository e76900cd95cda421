/// Names of files in a manifest: relative paths that stay inside whatever directory they are put into.
enum ArtifactName {
    /// - Throws: `S3Error` with code `.invalidManifest`.
    static func check(_ name: String) throws {
        func refuse(_ why: String) -> S3Error {
            S3Error(
                code: .invalidManifest,
                message: "the file name '\(name.prefix(200))' \(why); names are relative paths inside the directory")
        }
        guard !name.isEmpty else { throw refuse("is empty") }
        guard name.utf8.count <= 900 else { throw refuse("is longer than 900 bytes") }
        guard !name.utf8.contains(where: { $0 < 32 || $0 == 127 }) else { throw refuse("holds a control character") }
        guard !name.utf8.contains(UInt8(ascii: "\\")) else { throw refuse("holds a backslash") }
        guard name.utf8.first != UInt8(ascii: "/") else { throw refuse("is absolute") }
        for part in name.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false) {
            guard !part.isEmpty else { throw refuse("has an empty part") }
            guard !part.elementsEqual(".".utf8), !part.elementsEqual("..".utf8) else {
                throw refuse("has the part '\(String(decoding: part, as: UTF8.self))'")
            }
            guard part.count <= 255 else { throw refuse("has a part longer than 255 bytes") }
        }
        guard name != ArtifactManifest.fileName else { throw refuse("is the manifest's own") }
    }
}
