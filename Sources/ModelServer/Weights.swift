import FoundationEssentials
import Glibc

/// What may be loaded: weights as safetensors, and texts. Anything else could hold code that runs when it is read.
enum Weights {
    private static let suffixes = ["safetensors", "json", "txt", "jinja", "model", "md"]

    /// - Returns: bytes of the weights.
    /// - Throws: ``ServingError`` that names the file that must not be there.
    static func check(_ folder: String) throws -> Int64 {
        var bytes: Int64 = 0
        for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
            let suffix = name.split(separator: ".").last.map { String($0).lowercased() } ?? ""
            guard suffixes.contains(suffix) else {
                throw ServingError(
                    "the model has a file '\(name.prefix(100))': only safetensors and texts are loaded, as other formats can run code"
                )
            }
            guard suffix == "safetensors" else { continue }
            var status = stat()
            guard stat(folder + "/" + name, &status) == 0 else { continue }
            bytes += Int64(status.st_size)
        }
        guard bytes > 0 else { throw ServingError("the model has no safetensors") }
        return bytes
    }
}
